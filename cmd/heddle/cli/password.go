package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sys/unix"
)

// password writes the line of a user in a target's file of passwords. It talks to
// no target.
func (c *command) password() error {
	args, err := c.parseMixed(c.flags("heddle password"))
	if err != nil {
		return err
	}
	if len(args) != 1 {
		return wrongUsage("password takes the name of one user")
	}
	if strings.ContainsAny(args[0], ": \t\n") || args[0] == "" {
		return wrongUsage("%q is no name of a user: it has a colon or blank", args[0])
	}
	password, err := c.readPassword()
	if err != nil {
		return err
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if errors.Is(err, bcrypt.ErrPasswordTooLong) {
		return errors.New("the password has more than 72 octets: bcrypt looks at no more")
	}
	if err != nil {
		return fmt.Errorf("hash the password: %w", err)
	}
	fmt.Fprintf(c.Out, "%s:%s\n", args[0], hash)
	return nil
}

// readPassword reads one line, without echo where it is typed.
func (c *command) readPassword() (string, error) {
	if f, ok := c.In.(*os.File); ok {
		fd := int(f.Fd())
		if was, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
			quiet := *was
			quiet.Lflag &^= unix.ECHO
			if err := unix.IoctlSetTermios(fd, unix.TCSETS, &quiet); err == nil {
				fmt.Fprint(c.Err, "Password: ")
				defer func() {
					_ = unix.IoctlSetTermios(fd, unix.TCSETS, was)
					fmt.Fprintln(c.Err)
				}()
			}
		}
	}
	line, err := bufio.NewReader(c.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read password: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", errors.New("there is no password: type one, or put it into standard input")
	}
	return line, nil
}
