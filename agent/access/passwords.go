package access

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Passwords are the users of a file in the format of htpasswd -B: a line
// NAME:HASH for each, with bcrypt hashes only; empty lines and lines that begin
// with # do not count. Without a file nobody has a password. With one that cannot
// be read, or has a line that is none, nobody gets in by password.
type Passwords struct {
	file watched
	log  *slog.Logger
	read func(path string) (map[string][]byte, error)

	// turn bounds how many hashes are computed at once: each is meant to be slow.
	turn chan struct{}
	// salt keeps what is in known from being of use to who reads the memory.
	salt [32]byte

	mu     sync.Mutex // guards all below
	busy   bool       // a rotation is under way
	hashes map[string][]byte
	broken error
	known  map[[32]byte]struct{} // pairs of user and password that were right
	lines  map[string]*line      // by source
	turned int                   // counts rotations
}

// line is where those from one source wait: one of them at a time is among those of all
// sources, who take turns.
type line struct {
	first chan struct{}
	in    int // those who wait, and the first
}

const (
	// maxKnown bounds the passwords that are remembered as right.
	maxKnown = 4096
	// maxPassword is the longest password, in octets, that bcrypt looks at.
	maxPassword = 72
	// hashWait is how long a caller waits for others' passwords being checked.
	hashWait = 30 * time.Second
)

// errPassword does not say whether there is such a user.
var errPassword = errors.New("wrong username or password")

// NewPasswords reads the file. A mistake in it is in the log, and is what every
// attempt to get in by password fails for.
func NewPasswords(path string, log *slog.Logger) *Passwords {
	p := &Passwords{file: watched{paths: []string{path}}, log: log, read: readPasswords, turn: make(chan struct{}, 1), lines: map[string]*line{}}
	_, _ = rand.Read(p.salt[:]) // it never fails: see crypto/rand
	p.look(true)
	return p
}

// Path is where the file is.
func (p *Passwords) Path() string { return p.file.paths[0] }

// look implements source.
func (p *Passwords) look(force bool) bool {
	p.mu.Lock()
	skip, turned := p.busy || !p.file.changed() && !force, p.turned
	p.mu.Unlock()
	if skip {
		return false
	}
	hashes, err := p.read(p.Path())
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy || p.turned != turned {
		// What was read may be from before the rotation that has begun meanwhile.
		p.file.last = nil // to be looked at again
		return false
	}
	if err != nil {
		p.log.Error("nobody gets in by password until the file is right", "error", err)
	}
	same := maps.EqualFunc(p.hashes, hashes, bytes.Equal) && (p.broken == nil) == (err == nil)
	p.hashes, p.broken, p.known = hashes, err, map[[32]byte]struct{}{}
	return !same
}

// Any reports whether somebody may get in by password: there is a file.
func (p *Passwords) Any() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.broken != nil || len(p.hashes) > 0
}

// readPasswords reads a file of passwords; one that is not there is empty.
func readPasswords(path string) (map[string][]byte, error) {
	text, err := readIfThere(path)
	if err == nil && text == nil {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read passwords: %w", err)
	}
	fi, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read passwords: %w", err)
	}
	if fi.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("read passwords %s: everybody may read or write it (mode %04o): chmod 0600 it", path, fi.Mode().Perm())
	}
	return parsePasswords(path, text)
}

func parsePasswords(path string, text []byte) (map[string][]byte, error) {
	hashes := map[string][]byte{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, hash, _ := strings.Cut(line, ":")
		if err := checkName(name); err != nil {
			return nil, fmt.Errorf("read passwords %s: line %d: %w", path, n, err)
		}
		if _, err := bcrypt.Cost([]byte(hash)); err != nil {
			return nil, fmt.Errorf("read passwords %s: line %d: the password of %s is no bcrypt hash: make the line with heddle password %s, or htpasswd -B", path, n, name, name)
		}
		if hashes[name] != nil {
			return nil, fmt.Errorf("read passwords %s: line %d: %s is there twice", path, n, name)
		}
		hashes[name] = []byte(hash)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read passwords %s: %w", path, err)
	}
	return hashes, nil
}

// checkName checks the name of a user in a file.
func checkName(name string) error {
	if name == "" || strings.ContainsAny(name, ": \t\x00") {
		return fmt.Errorf("%q is no name of a user", name)
	}
	return nil
}

// Check says whether the password is that user's. It takes as long for a user
// that does not exist. Right ones are remembered until the file changes. Those who come
// from one source, whatever names it, wait for each other and not for all of another.
func (p *Passwords) Check(ctx context.Context, source, user, password string) error {
	key := p.key(user, password)
	if known, err := p.knows(key); known || err != nil {
		return err
	}
	if len(password) > maxPassword {
		return errPassword
	}
	ctx, cancel := context.WithTimeoutCause(ctx, hashWait, errBusy)
	defer cancel()
	leave, err := p.enter(ctx, source)
	if err != nil {
		return err
	}
	defer leave()
	// The same user may have come many times at once.
	if known, err := p.knows(key); known || err != nil {
		return err
	}
	p.mu.Lock()
	hash := p.hashes[user]
	p.mu.Unlock()
	if err := compare(hash, password); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !bytes.Equal(p.hashes[user], hash) {
		return errPassword // changed meanwhile
	}
	if len(p.known) >= maxKnown {
		clear(p.known)
	}
	p.known[key] = struct{}{}
	return nil
}

// enter waits for a turn.
func (p *Passwords) enter(ctx context.Context, source string) (leave func(), err error) {
	p.mu.Lock()
	l := p.lines[source]
	if l == nil {
		l = &line{first: make(chan struct{}, 1)}
		p.lines[source] = l
	}
	l.in++
	p.mu.Unlock()
	leave = func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if l.in--; l.in == 0 {
			delete(p.lines, source)
		}
	}
	for _, next := range []chan struct{}{l.first, p.turn} {
		select {
		case next <- struct{}{}:
			before := leave
			leave = func() {
				<-next
				before()
			}
		case <-ctx.Done():
			leave()
			return nil, context.Cause(ctx)
		}
	}
	return leave, nil
}

func (p *Passwords) key(user, password string) [32]byte {
	m := hmac.New(sha256.New, p.salt[:])
	fmt.Fprintf(m, "%d:%s:%s", len(user), user, password)
	return [32]byte(m.Sum(nil))
}

// nobody is the hash of no password, of the usual cost.
var nobody = sync.OnceValue(func() []byte {
	h, err := bcrypt.GenerateFromPassword([]byte(rand.Text()), bcrypt.DefaultCost)
	if err != nil {
		panic(err) // the cost is a constant in range
	}
	return h
})

// errBusy is a check that did not have its turn.
var errBusy = errors.New("too many passwords are being checked: try again")

// knows reports whether a pair was found right since the file changed. The error is
// that of a file that cannot be used.
func (p *Passwords) knows(pair [32]byte) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken != nil {
		return false, errors.New("passwords are not accepted: the file of passwords on the target is not right")
	}
	_, known := p.known[pair]
	return known, nil
}

// compare computes a hash, also where there is none to compare with.
func compare(hash []byte, password string) error {
	there := hash != nil
	if !there {
		hash = nobody()
	}
	if err := bcrypt.CompareHashAndPassword(hash, []byte(password)); err != nil || !there {
		return errPassword
	}
	return nil
}

// HashPassword is the line of a user in a file of passwords.
func HashPassword(user, password string) (string, error) {
	if err := checkName(user); err != nil {
		return "", err
	}
	if password == "" {
		return "", errors.New("the password is empty")
	}
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return "", fmt.Errorf("hash the password: %w", err)
	}
	return user + ":" + string(h), nil
}
