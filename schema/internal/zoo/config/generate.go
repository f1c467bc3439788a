// Package config holds the configuration structs of the test model zoo.
package config

//go:generate ../ygot.sh config -exclude_state
