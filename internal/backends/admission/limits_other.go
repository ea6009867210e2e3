//go:build !linux

package admission

// systemLimits returns what the operating system bounds, which is not known here.
func systemLimits() []limit { return nil }
