#!/bin/sh
# Builds the package of the folder it is called in from ../../yang:
#	ygot.sh PACKAGE [GENERATOR FLAG...]
# Relative paths, a header without the place of the generator's source, and an order
# where the generator has none, keep the output the same on every machine.
set -eu
export LC_ALL=C
package=$1
shift
go tool generator \
	-path=../../yang \
	-package_name="$package" -output_file="$package.go" \
	-generate_fakeroot -fakeroot_name=device \
	-compress_paths -yangpresence \
	-generate_simple_unions -typedef_enum_with_defmod \
	-enum_suffix_for_simple_union_enums -shorten_enum_leaf_names \
	-include_model_data \
	"$@" ../../yang/*.yang
sed -i 's#enerated by [^ ]*/genutil/names\.go#enerated by github.com/openconfig/ygot/generator#' "$package.go"
go run heddle/internal/schemaorder "$package.go"
gofmt -w "$package.go"
