package config

// The leaf getters know the defaults of the model.
//go:generate ../ygot.sh config -exclude_state -generate_leaf_getters
