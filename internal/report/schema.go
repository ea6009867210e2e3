package report

import _ "embed" // the schema

// Schema is the JSON schema of what [JSON] writes. It is made from the types
// and their comments by the tests of this package.
//
//go:embed results.schema.json
var Schema []byte
