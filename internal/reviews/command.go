package reviews

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// Deps are what the command needs of its process.
type Deps struct {
	Out, Err io.Writer
	Now      func() time.Time
}

// ErrUnexplained says that there are differences which nothing explains.
var ErrUnexplained = errors.New("there are differences that are not intended")

// sideFlags say which authorizer stands on a side.
type sideFlags struct {
	address, cert, key, ca string
	rolesFirst             bool
}

func (s *sideFlags) add(fs *flag.FlagSet, side, standard string) {
	fs.StringVar(&s.address, side, standard, "`authorizer`: model, local (the gate in this process), or a webhook's https address, in which {cluster} stands for the cluster's id")
	fs.StringVar(&s.cert, side+"-cert", "", "`file` with the client certificate for the address")
	fs.StringVar(&s.key, side+"-key", "", "`file` with the certificate's key")
	fs.StringVar(&s.ca, side+"-ca", "", "`file` with the authorities that the address is trusted by; none is the system's")
	fs.BoolVar(&s.rolesFirst, side+"-roles-first", false, "ask the cluster's own roles before the address, as AKS does with guard; else only when it has no opinion")
}

// side makes the authorizer.
func (s *sideFlags) side(c *Corpus, d Deps) (Side, error) {
	switch s.address {
	case "model":
		return ModelSide{}, nil
	case "local":
		return NewLocal(c, d.Now, slog.New(slog.DiscardHandler))
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.cert != "" {
		pair, err := tls.LoadX509KeyPair(s.cert, s.key)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	if s.ca != "" {
		pem, err := os.ReadFile(s.ca)
		if err != nil {
			return nil, fmt.Errorf("authorities: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("authorities: %s holds no certificate", s.ca)
		}
	}
	const patience = 30 * time.Second // guard waits 23 seconds for Azure
	transport := &http.Transport{TLSClientConfig: conf, MaxIdleConnsPerHost: 64}
	return Webhook{URL: s.address, RolesFirst: s.rolesFirst, Client: &http.Client{Transport: transport, Timeout: patience}}, nil
}

// Command runs the tool with its arguments.
func Command(ctx context.Context, args []string, d Deps) error {
	fs := flag.NewFlagSet("keyreeve-reviews", flag.ContinueOnError)
	fs.SetOutput(d.Err)
	var left, right sideFlags
	left.add(fs, "left", "local")
	right.add(fs, "right", "model")
	n := fs.Int("n", 100_000, "how many reviews")
	seed := fs.Uint64("seed", 1, "of the corpus: the same seed and sizes make the same one")
	azure := fs.Bool("azure-rbac", false, "clusters that take Azure roles, too")
	askers := fs.Int("askers", runtime.GOMAXPROCS(0), "how many reviews are asked at a time")
	dump := fs.String("dump", "", "write the corpus into this `folder`, to be loaded elsewhere, and ask nothing")
	var size Size
	small := Small()
	fs.IntVar(&size.People, "people", small.People, "how many users and applications")
	fs.IntVar(&size.Groups, "groups", small.Groups, "how many groups")
	fs.IntVar(&size.Bindings, "bindings", small.Bindings, "how many bindings in each cluster")
	fs.IntVar(&size.Assignments, "assignments", small.Assignments, "how many role assignments, with -azure-rbac")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if fs.NArg() > 0 || *n < 1 || size.People < 1 || size.Groups < 1 {
		return errors.New("at least one review, person and group, and no other argument")
	}
	c, err := NewCorpus(*seed, size, *azure)
	if err != nil {
		return err
	}
	if *dump != "" {
		return c.dump(*dump, *n)
	}
	l, err := left.side(c, d)
	if err != nil {
		return fmt.Errorf("left: %w", err)
	}
	r, err := right.side(c, d)
	if err != nil {
		return fmt.Errorf("right: %w", err)
	}
	began := d.Now()
	report, err := Run(ctx, c, l, r, *n, *askers)
	if err != nil {
		return err
	}
	report.Write(d.Out)
	_, _ = fmt.Fprintf(d.Out, "in %.1f s\n", d.Now().Sub(began).Seconds())
	if report.UnexplainedCount > 0 {
		return ErrUnexplained
	}
	return nil
}

// dump writes the directory and assignments as a snapshot of the change feed, each cluster's roles for kubectl apply, and
// the reviews, one a line.
func (c *Corpus) dump(dir string, n int) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("dump: %w", err)
	}
	write := func(name string, fill func(*json.Encoder) error) error {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("dump: %w", err)
		}
		b := bufio.NewWriter(f)
		if err := errors.Join(fill(json.NewEncoder(b)), b.Flush(), f.Close()); err != nil {
			return fmt.Errorf("dump: %w", err)
		}
		return nil
	}
	snap, err := c.Snapshot()
	if err != nil {
		return err
	}
	if err := write("snapshot.json", func(e *json.Encoder) error { return e.Encode(snap) }); err != nil {
		return err
	}
	for i := range c.Clusters {
		k := &c.Clusters[i]
		err := write(k.Name+".json", func(e *json.Encoder) error {
			return e.Encode(map[string]any{"apiVersion": "v1", "kind": "List", "items": k.Objects()})
		})
		if err != nil {
			return err
		}
	}
	return write("reviews.jsonl", func(e *json.Encoder) error {
		for i := range n {
			rev := c.Review(i)
			if err := e.Encode(map[string]any{"cluster": c.Clusters[rev.Cluster].ResourceID, "spec": rev.Spec}); err != nil {
				return err
			}
		}
		return nil
	})
}
