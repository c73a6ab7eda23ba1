// Package template owns the language of Resource Manager templates: the not-quite-JSON they are written in, expressions and
// their functions, parameters, variables, copy loops, conditions and dependencies.
//
//	bytes ─ Read ─► values ─ Parse ─► Template ─ Expand(Inputs) ─► Plan: resources in an order, bodies, outputs
//
// It is pure: what only the running resources can tell (reference, list*) is asked of a Runtime, and stays written as an
// expression where there is none. Everything it makes is counted against a budget, so that a small template cannot grow into
// much work. It never sends a request and knows no resource type but nested deployments.
package template

import "github.com/keyreeve/keyreeve/internal/fault"

// Bounds of a template, as the real service documents them unless a comment says otherwise.
const (
	maxParameters = 256
	maxVariables  = 512
	maxResources  = 800
	maxOutputs    = 64
	maxCopies     = 800
	maxExpression = 24576 // characters
	maxDepth      = 64    // of values and of expressions; ours
	maxSteps      = 2_000_000
	maxGrowth     = 16 << 20 // bytes of values made while one template is expanded; ours
)

// invalid is the refusal of a template.
func invalid(format string, args ...any) error {
	f := fault.New(fault.Invalid, "InvalidTemplate", format, args...)
	return fault.New(fault.Invalid, "InvalidTemplate", "Deployment template validation failed: '%s'.", f.Public)
}

// trouble is what is wrong with an expression; whoever evaluates says where it stands.
type trouble struct{ text string }

func (t *trouble) Error() string { return t.text }

func expressionError(where string, err error) error {
	return fault.New(fault.Invalid, "InvalidTemplate", "Unable to process template language expressions for %s. '%s'", where, err.Error())
}
