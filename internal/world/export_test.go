package world

import "github.com/keyreeve/keyreeve/internal/rbac"

// Unsifted are the facts that decisions are made from, without the index that leaves out groups.
func (w *World) Unsifted() rbac.Facts { return unsifted{(*facts)(w)} }

type unsifted struct{ *facts }

func (unsifted) Index() *rbac.Index { return nil }
