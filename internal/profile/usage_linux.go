package profile

const maxRSSUnit = 1024 // ru_maxrss is in kilobytes
