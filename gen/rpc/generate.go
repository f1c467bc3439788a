package rpc

//go:generate ../protoc.sh heddle.proto
