package az

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Notes on cobra's commands and flags, for Arguments.
const (
	marker   = "keyreeve.az"
	kindNote = "keyreeve.kind"
	alsoNote = "keyreeve.also"
)

// Arguments rewrites a command line as az reads it into one that cobra reads: several values after one flag, true or
// false after a flag, other names of a flag and its name cut short. Lines for other commands are left alone.
func Arguments(root *cobra.Command, args []string) []string {
	cmd, rest, err := root.Find(args)
	if err != nil || cmd.Annotations[marker] == "" {
		return args
	}
	out := args[: len(args)-len(rest) : len(args)-len(rest)]
	for i := 0; i < len(rest); i++ {
		arg := rest[i]
		if arg == "--" {
			return append(out, rest[i:]...)
		}
		name, value, inline := strings.Cut(arg, "=")
		f := findFlag(cmd.Flags(), name)
		if f == nil {
			out = append(out, arg)
			continue
		}
		name = "--" + f.Name
		var values []string
		if inline {
			values = []string{value}
		}
		for !inline && i+1 < len(rest) && takes(f, len(values), rest[i+1]) {
			i++
			values = append(values, rest[i])
		}
		if len(values) == 0 {
			out = append(out, name)
		}
		for _, v := range values {
			out = append(out, name+"="+v)
		}
	}
	return out
}

// takes says whether a flag that has n values takes the next argument as one.
func takes(f *pflag.Flag, n int, next string) bool {
	switch kindOf(f) {
	case "word":
		return n == 0
	case "words":
		// A value that begins with a hyphen has to be joined with =.
		return !strings.HasPrefix(next, "-")
	case "truth":
		return n == 0 && isTruth(next)
	}
	return false
}

func isTruth(s string) bool {
	switch strings.ToLower(s) {
	case "true", "false", "t", "f", "1", "0":
		return true
	}
	return false
}

func kindOf(f *pflag.Flag) string {
	if k := f.Annotations[kindNote]; len(k) == 1 {
		return k[0]
	}
	return ""
}

// findFlag finds the flag that an argument names: by its name, another name, or a beginning that no other flag shares.
func findFlag(fs *pflag.FlagSet, arg string) *pflag.Flag {
	name, long := strings.CutPrefix(arg, "--")
	if !long {
		short, isFlag := strings.CutPrefix(arg, "-")
		if !isFlag || len(short) != 1 {
			return nil
		}
		if f := fs.ShorthandLookup(short); f != nil {
			return f
		}
		name = short
	}
	if name == "" || name == "help" {
		return nil
	}
	if f := fs.Lookup(name); f != nil {
		return f
	}
	var begins []*pflag.Flag
	var also *pflag.Flag
	fs.VisitAll(func(f *pflag.Flag) {
		for _, other := range f.Annotations[alsoNote] {
			if other == name {
				also = f
			}
		}
		if long && strings.HasPrefix(f.Name, name) {
			begins = append(begins, f)
		}
	})
	if also != nil {
		return also
	}
	if len(begins) == 1 {
		return begins[0]
	}
	return nil
}
