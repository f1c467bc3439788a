#!/bin/sh
# Builds the package of the folder it is called in from the modules above it:
#	ygot.sh PACKAGE [GENERATOR FLAG...]
set -eu
export LC_ALL=C
package=$1
shift
go tool generator \
	-path=.. \
	-package_name="$package" -output_file="$package.go" \
	-generate_fakeroot -fakeroot_name=device \
	-compress_paths -yangpresence \
	-generate_simple_unions -typedef_enum_with_defmod \
	-enum_suffix_for_simple_union_enums -shorten_enum_leaf_names \
	-generate_ordered_maps=false \
	"$@" ../zoo.yang ../zoo-types.yang
sed -i 's#enerated by [^ ]*/genutil/names\.go#enerated by github.com/openconfig/ygot/generator#' "$package.go"
gofmt -w "$package.go"
