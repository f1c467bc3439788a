package config

//go:generate ../ygot.sh config -exclude_state
