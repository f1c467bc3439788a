package agent

func runAsChild() bool { return false }
