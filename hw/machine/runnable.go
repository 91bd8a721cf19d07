package machine

// Runner is a machine that may have nothing to run: without firmware and
// without a kernel.
type Runner interface {
	// Runnable says why the vCPUs cannot run, nil if they can.
	Runnable() error
}
