package ramdir

// Abandon leaves a directory as the death of its process does.
func Abandon(d *Dir) error { return d.lock.Close() }
