package access

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/openconfig/gnsi/authz"
)

// write replaces a file.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func rpcsOf(rule string) string {
	return `{"version":"` + rule + `","policy":"{\"name\":\"p\",\"allow_rules\":[{\"name\":\"` + rule + `\"}]}"}`
}

// What somebody writes to a file while a rotation is under way counts after it; what
// the rotation wrote itself is no news.
func TestFilesWrittenDuringRotations(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)

	t.Run("policy", func(t *testing.T) {
		file := filepath.Join(dir, "authz.json")
		write(t, file, rpcsOf("a"))
		p := NewRPCPolicies(file, log)
		r, err := p.Rotate(true)
		must(t, err)
		up := &authz.UploadRequest{Version: "b", Policy: `{"name":"p","allow_rules":[{"name":"b"}]}`}
		must(t, r.Upload(up, false))
		must(t, r.Finalize())
		r.End()
		final, _ := p.Active()
		if p.look(false) {
			t.Error("what a rotation wrote is news")
		}
		if now, _ := p.Active(); now != final {
			t.Error("the policy is another one without being different")
		}
		r, err = p.Rotate(true)
		must(t, err)
		write(t, file, rpcsOf("c"))
		if p.look(false) {
			t.Error("the file is looked at while a rotation is under way")
		}
		r.End()
		if !p.look(false) {
			t.Fatal("what was written meanwhile is not seen")
		}
		if now, _ := p.Active(); now.allow[0].Name != "c" {
			t.Errorf("the rule is %s", now.allow[0].Name)
		}
	})

	t.Run("passwords", func(t *testing.T) {
		file := filepath.Join(dir, "passwords")
		alice, err := HashPassword("alice", "a")
		must(t, err)
		write(t, file, alice)
		p := NewPasswords(file, log)
		r, err := p.Rotate()
		must(t, err)
		must(t, r.Upload("alice", "b"))
		write(t, file, "# nobody\n")
		r.End()
		if !p.look(false) || p.hash("alice") != "" {
			t.Error("a user that was taken out meanwhile still gets in")
		}
	})

	t.Run("certificates", func(t *testing.T) {
		files, others := TLSFiles{Dir: filepath.Join(dir, "tls")}, TLSFiles{Dir: filepath.Join(dir, "other")}
		c, err := LoadCertificates(files, func() bool { return true }, log)
		must(t, err)
		must(t, others.ensure())
		cert, err := os.ReadFile(others.CertFile())
		must(t, err)
		r, err := c.Rotate()
		must(t, err)
		must(t, r.Upload(func(p *PEM) { p.ClientCA = p.Cert }))
		write(t, files.clientCA(), string(cert))
		r.End()
		if !c.look(false) || !bytes.Equal(c.current.Load().pem.ClientCA, cert) {
			t.Error("authorities that were written meanwhile do not count")
		}
	})
}

// Of certificates that cannot all be written none are: authorities that were not there
// before do not stay behind and count at the next look.
func TestCertificatesThatCannotAllBeWritten(t *testing.T) {
	dir := t.TempDir()
	f := TLSFiles{Dir: dir, ClientCRL: filepath.Join(dir, "missing", "crl.pem")}
	if err := f.write(PEM{}, PEM{ClientCA: []byte("authority"), CRL: []byte("list")}); err == nil {
		t.Fatal("it is written")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}
