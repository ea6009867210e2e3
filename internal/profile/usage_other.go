//go:build !linux

package profile

const maxRSSUnit = 1 // ru_maxrss is in bytes
