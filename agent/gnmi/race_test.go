//go:build race

package gnmi_test

func init() { raced = true }
