package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"heddle/lab/control"
	"heddle/lab/topologies"
	"heddle/lab/topology"
	"heddle/lab/vm"
)

type upFlags struct {
	machineFlags
	lab      string
	noAgents bool
	replace  bool
	within   time.Duration
}

func (a *app) up(ctx context.Context, args []string) error {
	root, err := repoRoot()
	if err != nil {
		return err
	}
	var o upFlags
	fs := a.flags("up", "TOPOLOGY [options]")
	o.register(fs, root)
	lab := labFlag(fs)
	fs.BoolVar(&o.noAgents, "no-agents", false, "only wires and hosts: start no agent")
	fs.BoolVar(&o.replace, "replace", false, "take a lab of that name down first, if there is one")
	fs.DurationVar(&o.within, "timeout", 3*time.Minute, "how long topology and agents may take")
	words, rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	if len(words) != 1 || len(rest) > 0 {
		return &usageError{"up wants one topology: heddle-lab up l3vpn"}
	}
	o.lab = *lab
	file, text, err := topologies.Find(words[0])
	if err != nil {
		return err
	}
	topo, err := topology.Parse(file, text)
	if err != nil {
		return err
	}
	bins, agent, err := binaries(o.binDir)
	if err != nil {
		return err
	}
	if !agent && !o.noAgents && len(topo.Routers()) > 0 {
		return missingAgent(o.binDir)
	}
	if err := a.clear(ctx, &o); err != nil {
		return err
	}
	req := control.Request{File: file, Topology: text, Agents: !o.noAgents}
	if a.netns {
		return a.upNetns(ctx, &o, topo, req)
	}
	return a.upVM(ctx, &o, topo, req, bins)
}

// clear makes sure that no lab of the name is in the way.
func (a *app) clear(ctx context.Context, o *upFlags) error {
	st, alive, err := a.load(o.lab)
	var none *errNoLab
	switch {
	case errors.As(err, &none):
		return nil
	case err != nil:
		return err
	case alive && !o.replace:
		return fmt.Errorf("bring lab %s up: it is up already, with topology %s: heddle-lab down ends it, --replace does so here", o.lab, st.Topology)
	case alive:
		a.progress("taking the lab that is up down")
	default:
		a.progress("removing what a lab that died has left")
	}
	return a.takeDown(ctx, st)
}

// choosePorts gives each router a port of 127.0.0.1: the one its topology file
// names, or another when that is taken.
func (a *app) choosePorts(topo *topology.Topology) (map[string]int, error) {
	ports := map[string]int{}
	for _, n := range topo.Routers() {
		if n.GNMIPort != 0 {
			if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", n.GNMIPort)); err == nil {
				l.Close()
				ports[n.Name] = n.GNMIPort
				continue
			}
			a.progress("port %d of this computer is taken: %s gets another", n.GNMIPort, n.Name)
		}
		port, err := vm.FreePort()
		if err != nil {
			return nil, err
		}
		ports[n.Name] = port
	}
	return ports, nil
}

func (a *app) upVM(ctx context.Context, o *upFlags, topo *topology.Topology, req control.Request, bins map[string]string) (err error) {
	kernel, img, err := a.prepare(ctx, &o.machineFlags, bins, nil)
	if err != nil {
		return err
	}
	st, err := a.newLab(o.lab, "vm", topo)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(st.dir)
		}
	}()
	if st.Ports, err = a.choosePorts(topo); err != nil {
		return err
	}
	var forwards []vm.Forward
	for _, port := range st.Ports {
		forwards = append(forwards, vm.Forward{Host: port, Guest: port})
	}
	machine, err := a.boot(ctx, &o.machineFlags, kernel, img, st.dir, st.Token, forwards, true)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			machine.Kill()
		}
	}()
	st.PID, st.Started = machine.PID, processStart(machine.PID)
	st.Address, st.Kernel = fmt.Sprintf("127.0.0.1:%d", machine.ControlPort), machine.Release
	req.Listen, req.ListenOn = st.Ports, "0.0.0.0"
	return a.finishUp(ctx, o, st, req, machine.Done())
}

// upNetns starts a process that holds the lab in this machine's kernel.
func (a *app) upNetns(ctx context.Context, o *upFlags, topo *topology.Topology, req control.Request) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("bring a lab up in namespaces: this needs root: use sudo, or leave LAB=netns out")
	}
	st, err := a.newLab(o.lab, "netns", topo)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(st.dir)
		}
	}()
	if st.Ports, err = a.choosePorts(topo); err != nil {
		return err
	}
	process, done, err := a.startServer(st, o.binDir)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, stopProcess(process, done))
		}
	}()
	st.PID, st.Started, st.Kernel = process.Pid, processStart(process.Pid), control.KernelRelease()
	req.Listen, req.ListenOn = st.Ports, "127.0.0.1"
	return a.finishUp(ctx, o, st, req, done)
}

func (a *app) newLab(name, mode string, topo *topology.Topology) (*labState, error) {
	dir, err := a.labDir(name)
	if err != nil {
		return nil, err
	}
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	return &labState{Mode: mode, Token: newToken(), Topology: topo.Name, Created: time.Now(), dir: dir}, nil
}

// finishUp has the topology built by the serving side and prints the result.
func (a *app) finishUp(ctx context.Context, o *upFlags, st *labState, req control.Request, died <-chan struct{}) error {
	a.progress("building topology %s", st.Topology)
	if req.Agents {
		a.progress("starting agents")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.within, fmt.Errorf("topology and agents were not up after %s (--timeout)", o.within))
	defer cancel()
	lifeCtx, lifeOver := context.WithCancelCause(ctx)
	defer lifeOver(nil)
	go func() {
		select {
		case <-died:
			lifeOver(errors.Join(errors.New("the lab died"), vm.LastWords(st.dir)))
		case <-lifeCtx.Done():
		}
	}()
	status, err := st.client().Up(lifeCtx, req)
	if lifeCtx.Err() != nil {
		return context.Cause(lifeCtx)
	}
	if err != nil {
		return err
	}
	if err := st.save(); err != nil {
		return err
	}
	a.progress("lab is up")
	a.printStatus(st, status)
	return nil
}

func stopProcess(p *os.Process, done <-chan struct{}) error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end the lab's process: %w", err)
	}
	select {
	case <-done:
		return nil
	case <-time.After(20 * time.Second):
		return errors.Join(errors.New("end the lab's process: it did not tear down within 20 s and was killed"), p.Kill())
	}
}

const serveCommand = "serve-netns"

// startServer starts this program again, in the background, with a listening
// socket as its descriptor 3 and the token on its standard input.
func (a *app) startServer(st *labState, binDir string) (*os.Process, <-chan struct{}, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("listen for the lab: %w", err)
	}
	defer listener.Close()
	st.Address = listener.Addr().String()
	socket, err := listener.(*net.TCPListener).File()
	if err != nil {
		return nil, nil, fmt.Errorf("pass the socket on: %w", err)
	}
	defer socket.Close()
	log, err := os.Create(filepath.Join(st.dir, vm.ConsoleFile))
	if err != nil {
		return nil, nil, fmt.Errorf("create log: %w", err)
	}
	defer log.Close()
	if binDir, err = filepath.Abs(binDir); err != nil {
		return nil, nil, fmt.Errorf("find binaries: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, nil, fmt.Errorf("find own program: %w", err)
	}
	cmd := exec.Command(self, serveCommand)
	cmd.Env = append(os.Environ(), "PATH="+binDir+":"+os.Getenv("PATH"))
	cmd.ExtraFiles = []*os.File{socket}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, fmt.Errorf("make the lab's input: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start the lab's process: %w", err)
	}
	if _, err := fmt.Fprintln(stdin, st.Token); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("hand over token: %w", err), cmd.Process.Kill())
	}
	stdin.Close()
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	return cmd.Process, done, nil
}
