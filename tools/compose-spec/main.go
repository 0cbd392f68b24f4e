// Reads compose files (later ones lie over earlier ones) by the reference implementation of the Compose Specification, which checks them
// against its schema, and prints what a deployment with these profiles consists of, as JSON: `compose-spec [-profiles NAME,NAME] FILE...`.
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	log.SetFlags(0)
	profiles := flag.String("profiles", "", "profiles, separated by commas")
	flag.Parse()
	options, err := cli.NewProjectOptions(flag.Args(),
		cli.WithOsEnv,
		cli.WithDotEnv,
		cli.WithInterpolation(true),
		cli.WithResolvedPaths(true),
		cli.WithProfiles(strings.FieldsFunc(*profiles, func(r rune) bool { return r == ',' })))
	if err != nil {
		log.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	text, err := project.MarshalJSON()
	if err != nil {
		log.Fatal(err)
	}
	if _, err := os.Stdout.Write(append(text, '\n')); err != nil {
		log.Fatal(err)
	}
}
