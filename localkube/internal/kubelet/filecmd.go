package kubelet

import (
	"io"
	"strings"
)

// cat copies its input, or files that were copied in.
func (s *shell) cat(args []string) int {
	if len(args) == 0 {
		args = []string{"-"}
	}
	for _, a := range args {
		if a == "-" {
			if _, err := io.Copy(s.out, s.in); err != nil {
				return failed
			}
			continue
		}
		b, ok := s.files.read(a)
		if !ok {
			s.complain("%s: a pretended container has no files but those that were copied into it", a)
			return failed
		}
		if s.say(string(b)) != 0 {
			return failed
		}
	}
	return 0
}

// ls names the files that were copied in.
func (s *shell) ls(args []string) int {
	dir := "/"
	for _, a := range args {
		if !strings.HasPrefix(a, "-") {
			dir = a
		}
	}
	if _, ok := s.files.read(dir); ok {
		return s.say(dir + "\n")
	}
	if !s.files.isDir(dir) {
		s.complain("%s: no such file", dir)
		return failed
	}
	for _, name := range s.files.below(dir) {
		if s.say(name+"\n") != 0 {
			return failed
		}
	}
	return 0
}

// test knows what kubectl cp asks: whether a path is a file or a directory.
func (s *shell) test(args []string) int {
	if len(args) != 2 {
		s.complain("test: knows -d, -e and -f with a path")
		return misused
	}
	_, file := s.files.read(args[1])
	dir := s.files.isDir(args[1])
	switch {
	case args[0] == "-f" && file, args[0] == "-d" && dir, args[0] == "-e" && (file || dir):
		return 0
	case args[0] == "-f", args[0] == "-d", args[0] == "-e":
		return failed
	}
	s.complain("test: knows -d, -e and -f with a path")
	return misused
}

// tar knows what kubectl cp says: to unpack standard input in a directory, and to pack a path to standard output.
func (s *shell) tar(args []string) int {
	var mode, dir string
	var paths []string
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-C" && i+1 < len(args):
			i++
			dir = args[i]
		case strings.HasPrefix(a, "--"):
		case i == 0 || strings.HasPrefix(a, "-") && a != "-":
			mode += strings.TrimPrefix(a, "-")
		case a != "-":
			paths = append(paths, a)
		}
	}
	var err error
	switch {
	case strings.Contains(mode, "x") && len(paths) == 0:
		err = s.files.unpack(dir, s.in)
	case strings.Contains(mode, "c") && len(paths) == 1:
		err = s.files.pack(dir+"/"+paths[0], s.out)
	default:
		s.complain("tar: a pretended one knows `tar xf - -C DIR` and `tar cf - PATH`")
		return misused
	}
	if err != nil {
		s.complain("tar: %v", err)
		return misused
	}
	return 0
}
