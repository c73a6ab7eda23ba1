package kubelet

import (
	"errors"
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
		text, err := s.read(a)
		if err != nil {
			s.complain("%s: %v", a, err)
			return failed
		}
		if s.say(text) != 0 {
			return failed
		}
	}
	return 0
}

// read is what is in a file.
func (s *shell) read(name string) (string, error) {
	if token, ok := s.projected[absolute(name)]; ok {
		return token()
	}
	if b, ok := s.files.read(name); ok {
		return string(b), nil
	}
	return "", errors.New("a pretended container has no files but its tokens and those that were copied into it")
}

func (s *shell) isFile(name string) bool {
	_, token := s.projected[absolute(name)]
	_, copied := s.files.read(name)
	return token || copied
}

func (s *shell) isDir(name string) bool {
	return s.files.isDir(name) || len(s.projected.below(name)) > 0
}

// ls names the files that there are.
func (s *shell) ls(args []string) int {
	dir := "/"
	for _, a := range args {
		if !strings.HasPrefix(a, "-") {
			dir = a
		}
	}
	if s.isFile(dir) {
		return s.say(dir + "\n")
	}
	if !s.isDir(dir) {
		s.complain("%s: no such file", dir)
		return failed
	}
	for _, name := range append(s.files.below(dir), s.projected.below(dir)...) {
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
	file, dir := s.isFile(args[1]), s.isDir(args[1])
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
