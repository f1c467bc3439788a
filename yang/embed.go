// Package yang holds the models of Heddle, hand-written, one module per subject.
//
// The .yang files are the source that gen/ is built from; FS serves them to
// whoever hands out schemas or checks them. The tour of the model is
// docs/model.md. The package knows nothing but its own files.
package yang

import "embed"

// FS holds every module as NAME.yang.
//
//go:embed *.yang
var FS embed.FS
