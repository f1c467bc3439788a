#!/bin/sh
# Builds the package of the folder it is called in from a file of ../../agent/rpc:
#	protoc.sh FILE.proto
# The plugins are tools of go.mod. protoc is the machine's, so its version is taken
# out of the output; gNMI's own file comes from the module that go.mod names.
set -eu
export LC_ALL=C
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/bin" "$tmp/include/github.com/openconfig"
for plugin in protoc-gen-go protoc-gen-go-grpc; do
	printf '#!/bin/sh\nexec go tool %s\n' "$plugin" >"$tmp/bin/$plugin"
	chmod +x "$tmp/bin/$plugin"
done
go mod download github.com/openconfig/gnmi
ln -s "$(go list -m -f '{{.Dir}}' github.com/openconfig/gnmi)" "$tmp/include/github.com/openconfig/gnmi"
PATH="$tmp/bin:$PATH" protoc -I ../../agent/rpc -I "$tmp/include" \
	--go_out=. --go_opt=paths=source_relative \
	--go-grpc_out=. --go-grpc_opt=paths=source_relative "$1"
sed -i '/^\/\/ .*protoc  *v[0-9]/d' -- *.pb.go
