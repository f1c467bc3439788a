package state

//go:generate ../ygot.sh state -prefer_operational_state
