// Package state holds the state structs of the test model zoo.
package state

//go:generate ../ygot.sh state -prefer_operational_state
