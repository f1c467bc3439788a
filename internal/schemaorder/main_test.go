package main

import "testing"

func TestSortAugments(t *testing.T) {
	one, err := sortAugments([]byte(`{"Dir": {"a": {"Augmented": [{"Name": "y", "Kind": 1}, {"Name": "x"}]}}, "Max": 18446744073709551615}`))
	if err != nil {
		t.Fatal(err)
	}
	other, err := sortAugments([]byte(`{"Max": 18446744073709551615, "Dir": {"a": {"Augmented": [{"Name": "x"}, {"Kind": 1, "Name": "y"}]}}}`))
	if err != nil || string(one) != string(other) {
		t.Errorf("%v: %s and %s", err, one, other)
	}
	if _, err := sortAugments([]byte(`{`)); err == nil {
		t.Error("half a schema was taken")
	}
	if _, err := order("0x1f, 0x100"); err == nil {
		t.Error("an octet of 256 was taken")
	}
}
