//go:build !unix

package tokencache

import "io/fs"

// ownerOf is who a file belongs to; here, folders in a person's home are theirs alone.
func ownerOf(fs.FileInfo) (int, bool) { return 0, false }
