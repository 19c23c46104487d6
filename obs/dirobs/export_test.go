package dirobs

// OpenFS opens the bucket at the root of a file system.
var OpenFS = open

// RecordDir is the folder of an object's records.
var RecordDir = recordDir
