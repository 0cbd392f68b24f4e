// Reads Kubernetes manifests from standard input, as a server of this version's API would with strict field validation: a field that the
// kind does not have, a member that is there twice and a value of another type are errors. Kinds of others (of no group that Kubernetes
// itself serves) are passed over. Prints one line, `group/version Kind name`, for each manifest.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	v1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
)

func main() {
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	reader := yaml.NewYAMLReader(bufio.NewReader(os.Stdin))
	faults := 0
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(string(document)), "---")) == "" {
			continue
		}
		var head v1.TypeMeta
		if err := yaml.Unmarshal(document, &head); err != nil {
			faults++
			fmt.Fprintf(os.Stderr, "%v\n%s\n", err, document)
			continue
		}
		kind := head.GroupVersionKind()
		if !scheme.Scheme.IsGroupRegistered(kind.Group) {
			fmt.Printf("%s/%s %s passed over\n", kind.Group, kind.Version, kind.Kind)
			continue
		}
		object, _, err := decoder.Decode(document, nil, nil)
		if err != nil {
			faults++
			fmt.Fprintf(os.Stderr, "%v\n%s\n", err, document)
			continue
		}
		name, err := meta.NewAccessor().Name(object)
		if err != nil {
			name = "?"
		}
		fmt.Printf("%s/%s %s %s\n", kind.Group, kind.Version, kind.Kind, name)
	}
	if faults > 0 {
		os.Exit(1)
	}
}
