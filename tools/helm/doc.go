// Package helm tests the Helm chart of deploy/: Helm lints and renders it, Kubernetes' own types read what comes out, and
// keyreeve the configuration in it. It is a module of its own, since Helm brings a good part of Kubernetes along.
package helm
