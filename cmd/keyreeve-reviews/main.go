// Command keyreeve-reviews asks two authorizers the same reviews over a made-up directory, and tells every difference.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/keyreeve/keyreeve/internal/reviews"
)

func main() {
	if err := reviews.Command(context.Background(), os.Args[1:], reviews.Deps{Out: os.Stdout, Err: os.Stderr, Now: time.Now}); err != nil {
		fmt.Fprintln(os.Stderr, "keyreeve-reviews:", err)
		os.Exit(1)
	}
}
