// Package dashboards holds the configuration of the servers that a run can be
// looked at with. The files beside it are for people, too.
package dashboards

import _ "embed"

// Jaeger is the configuration of Jaeger v2, all on loopback.
//
//go:embed jaeger.yaml
var Jaeger []byte

// JaegerUI has the links from spans to their profiles.
//
//go:embed jaeger-ui.json
var JaegerUI []byte
