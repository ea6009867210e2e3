//go:build !linux

package admission

// systemLimits returns none: they cannot be read on this system.
func systemLimits() []limit { return nil }
