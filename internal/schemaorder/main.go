// Schemaorder puts in order what is left to chance in the schema that ygot embeds in
// a generated file: goyang takes the modules that augment one node in the order of a
// map (github.com/openconfig/goyang pkg/yang/modules.go, Process). After it, the same
// models give the same bytes.
//
//	schemaorder FILE.go
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: schemaorder FILE.go")
		os.Exit(2)
	}
	if err := rewrite(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "schemaorder: %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// The schema as ygot writes it: gzipped JSON, octet by octet.
const begins, ends = "\tySchema = []byte{\n", "\n\t}\n"

func rewrite(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	from := bytes.Index(text, []byte(begins))
	if from < 0 {
		return errors.New("find the embedded schema: there is none")
	}
	from += len(begins)
	size := bytes.Index(text[from:], []byte(ends))
	if size < 0 {
		return errors.New("find the end of the embedded schema: there is none")
	}
	schema, err := order(string(text[from : from+size]))
	if err != nil {
		return err
	}
	return os.WriteFile(file, slices.Concat(text[:from], []byte(schema), text[from+size:]), 0o644)
}

// order rewrites the elements of the slice.
func order(elements string) (string, error) {
	var packed []byte
	for e := range strings.FieldsFuncSeq(elements, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' }) {
		n, err := strconv.ParseUint(e, 0, 8)
		if err != nil {
			return "", fmt.Errorf("read the embedded schema: %w", err)
		}
		packed = append(packed, byte(n))
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return "", fmt.Errorf("unpack the schema: %w", err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		return "", fmt.Errorf("unpack the schema: %w", err)
	}
	if plain, err = sortAugments(plain); err != nil {
		return "", err
	}
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return "", err
	}
	if _, err = w.Write(plain); err == nil {
		err = w.Close()
	}
	if err != nil {
		return "", fmt.Errorf("pack the schema: %w", err)
	}
	var b strings.Builder
	for row := range slices.Chunk(out.Bytes(), 16) {
		b.WriteString("\n\t\t")
		for i, o := range row {
			if i > 0 {
				b.WriteByte(' ')
			}
			fmt.Fprintf(&b, "%#02x,", o)
		}
	}
	return b.String()[1:], nil
}

// sortAugments sorts the augmentations of each node of a schema.
func sortAugments(plain []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(plain))
	d.UseNumber()
	var root any
	if err := d.Decode(&root); err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	if err := sortBelow(root); err != nil {
		return nil, err
	}
	return json.MarshalIndent(root, "", "  ")
}

func sortBelow(n any) error {
	var errs []error
	switch n := n.(type) {
	case []any:
		for _, c := range n {
			errs = append(errs, sortBelow(c))
		}
	case map[string]any:
		for _, c := range n {
			errs = append(errs, sortBelow(c))
		}
		if augments, ok := n["Augmented"].([]any); ok {
			errs = append(errs, sortByText(augments))
		}
	}
	return errors.Join(errs...)
}

func sortByText(nodes []any) error {
	var errs []error
	text := func(n any) string {
		b, err := json.Marshal(n)
		errs = append(errs, err)
		return string(b)
	}
	slices.SortFunc(nodes, func(a, b any) int { return strings.Compare(text(a), text(b)) })
	return errors.Join(errs...)
}
