package access

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Limits are what a client may take of the agent. Zero stands for the default of
// DefaultLimits.
type Limits struct {
	// Connections over TCP at a time, and of those from one source (an IPv4 address, or
	// the /64 of an IPv6 one); those of the unix socket do not count.
	Connections, SourceConnections int
	// Sessions (connections), Calls, Subscriptions and Sets are those of one user at
	// a time, SetRate its Sets in a second, of which twice as many may come at once.
	Sessions, Calls, Subscriptions, Sets int
	SetRate                              float64
	// Gets are the Gets of one user that are being answered, up to where the answer is
	// sent; further ones wait. Four times as many are for all users.
	Gets int
	// Answers are octets of answers of one user that are not sent yet: who has so many is
	// given no other one.
	Answers int64
	// Message is the largest request and Requests all that are in memory, in octets.
	Message, Requests int64
	// Subscribe is the largest message of a Subscribe, in octets: what it asks for is
	// kept as long as it lasts.
	Subscribe int64
	// Handshake bounds TLS and HTTP/2 coming up, Request the arrival of a request,
	// Call a unary call, Unused a connection on which no call was admitted yet, Idle
	// one on which none is under way.
	Handshake, Request, Call, Unused, Idle time.Duration
	// Answer is how long a client may leave an answer unread before its connection ends.
	Answer time.Duration
	// Confirm is how long a commit may wait to be confirmed, Lock how long a lock may
	// last: meanwhile others do not write. The store goes by them.
	Confirm, Lock time.Duration
}

// DefaultLimits are the limits that apply where nothing else is said.
func DefaultLimits() Limits {
	return Limits{
		Connections: 4096, SourceConnections: 2048, Sessions: 2048, Calls: 4096, Subscriptions: 2048, Sets: 1024, SetRate: 1000, Gets: 8,
		Message: 256 << 20, Requests: 1 << 30, Subscribe: 4 << 20, Answers: 1 << 30,
		Handshake: 10 * time.Second, Request: time.Minute, Call: 10 * time.Minute, Unused: time.Minute, Idle: 15 * time.Minute, Answer: time.Minute,
		Confirm: 24 * time.Hour, Lock: 24 * time.Hour,
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ at, or *int }{
		{&l.Connections, &d.Connections}, {&l.SourceConnections, &d.SourceConnections}, {&l.Sessions, &d.Sessions}, {&l.Calls, &d.Calls},
		{&l.Subscriptions, &d.Subscriptions}, {&l.Sets, &d.Sets}, {&l.Gets, &d.Gets},
	} {
		if *f.at == 0 {
			*f.at = *f.or
		}
	}
	for _, f := range []struct{ at, or *int64 }{{&l.Message, &d.Message}, {&l.Requests, &d.Requests}, {&l.Subscribe, &d.Subscribe}, {&l.Answers, &d.Answers}} {
		if *f.at == 0 {
			*f.at = *f.or
		}
	}
	for _, f := range []struct{ at, or *time.Duration }{
		{&l.Handshake, &d.Handshake}, {&l.Request, &d.Request}, {&l.Call, &d.Call}, {&l.Unused, &d.Unused}, {&l.Idle, &d.Idle},
		{&l.Answer, &d.Answer}, {&l.Confirm, &d.Confirm}, {&l.Lock, &d.Lock},
	} {
		if *f.at == 0 {
			*f.at = *f.or
		}
	}
	if l.SetRate == 0 {
		l.SetRate = d.SetRate
	}
	return l
}

// Set reads NAME=VALUE, as on a command line.
func (l *Limits) Set(text string) error {
	name, value, _ := strings.Cut(text, "=")
	counts := map[string]*int{
		"connections": &l.Connections, "source-connections": &l.SourceConnections, "sessions": &l.Sessions, "calls": &l.Calls, "subscriptions": &l.Subscriptions, "sets": &l.Sets, "gets": &l.Gets,
	}
	octets := map[string]*int64{"message": &l.Message, "requests": &l.Requests, "answers": &l.Answers}
	times := map[string]*time.Duration{
		"request-time": &l.Request, "call-time": &l.Call, "idle-time": &l.Idle, "answer-time": &l.Answer,
		"confirm-time": &l.Confirm, "lock-time": &l.Lock,
	}
	n, err := strconv.Atoi(value)
	switch {
	case counts[name] != nil && err == nil && n > 0:
		*counts[name] = n
	case octets[name] != nil && err == nil && n > 0:
		*octets[name] = int64(n)
	case name == "sets-per-second" && err == nil && n > 0:
		l.SetRate = float64(n)
	case times[name] != nil:
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 {
			return fmt.Errorf("limit %s: %q is no time like 30s", name, value)
		}
		*times[name] = d
	case counts[name] != nil || octets[name] != nil || name == "sets-per-second":
		return fmt.Errorf("limit %s: %q is no number above 0", name, value)
	default:
		return fmt.Errorf("there is no limit %q: use connections, source-connections, sessions, calls, subscriptions, sets, sets-per-second, gets, message, requests, answers (octets), request-time, call-time, idle-time, answer-time, confirm-time or lock-time", name)
	}
	return nil
}

// usage is what a user takes at present.
type usage struct {
	sessions, calls, subscriptions, sets int
	answers                              int64         // octets that are not sent
	gets                                 chan struct{} // a token for each Get that is being answered

	tokens float64 // Sets that may come at once
	filled time.Time
}

// of finds or makes the usage of a user; it needs g.mu.
func (g *Guard) of(user string, now time.Time) *usage {
	u := g.users[user]
	if u == nil {
		if len(g.users) >= maxUsers {
			for name := range g.users {
				g.forget(name, now)
			}
		}
		u = &usage{tokens: 2 * g.limits.SetRate, filled: now, gets: make(chan struct{}, g.limits.Gets)}
		g.users[user] = u
	}
	return u
}

// forget drops a user that takes nothing, as one that is not known: not one whose Gets
// are still being carried out, or that has just sent Sets, since it would have all its
// places and tokens again on another connection. It needs g.mu.
func (g *Guard) forget(user string, now time.Time) {
	u := g.users[user]
	if u == nil || u.sessions > 0 || u.calls > 0 || len(u.gets) > 0 || u.answers > 0 {
		return
	}
	if u.fill(g.limits.SetRate, now); u.tokens >= 2*g.limits.SetRate {
		delete(g.users, user)
	}
}

// take takes a token for a Set.
func (u *usage) take(rate float64, now time.Time) bool {
	u.fill(rate, now)
	if u.tokens < 1 {
		return false
	}
	u.tokens--
	return true
}

// fill adds the tokens of the time since it was called last.
func (u *usage) fill(rate float64, now time.Time) {
	u.tokens = min(2*rate, u.tokens+rate*now.Sub(u.filled).Seconds())
	u.filled = now
}
