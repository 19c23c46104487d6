package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/cloudtraceservice/cts/digest"
)

// The verdicts of a verification.
const (
	verdictClean     = "clean"
	verdictDamaged   = "damaged"
	verdictUnchecked = "not checked"
)

// verdict returns the verdict of a report that came with an error or nil.
func verdict(r *digest.Report, err error) string {
	switch {
	case r.Worst() == digest.Damage || r.MoreDamage > 0:
		return verdictDamaged
	case err != nil || !r.OK():
		return verdictUnchecked
	}
	return verdictClean
}

// printReport prints a report, which came with an error or nil, and returns what the
// command ends with.
func (p *program) printReport(f *verifyFlags, r *digest.Report, err error) error {
	says := verdict(r, err)
	out := &output{w: p.stdout}
	if f.json {
		err = errors.Join(err, printJSON(out, r, says, err))
	} else {
		printText(out, f.quiet, r, says)
	}
	if out.err != nil && !f.json { // the encoder has returned it
		err = errors.Join(err, out.err)
	}
	switch {
	case says == verdictDamaged && err != nil:
		p.complain(err)
		return errFound
	case says == verdictDamaged:
		return errFound
	case err != nil:
		return err
	case says == verdictUnchecked:
		return errors.New("not everything could be checked")
	}
	if f.saveHeads == "" {
		return nil
	}
	return saveHeads(f.saveHeads, f.known, r)
}

// output is a writer that remembers that it failed.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(b []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(b)
	if err != nil {
		o.err = fmt.Errorf("writing the report: %w", err)
	}
	return n, o.err
}

// jsonFinding is a finding with what follows from it.
type jsonFinding struct {
	Severity digest.Severity `json:"severity"`
	digest.Finding
}

// printJSON prints a report as one object.
func printJSON(to io.Writer, r *digest.Report, says string, err error) error {
	out := struct {
		Verdict string        `json:"verdict"`
		Error   string        `json:"error,omitempty"`
		Finds   []jsonFinding `json:"findings"`
		More    int64         `json:"more,omitempty"`
		Worse   int64         `json:"more_damage,omitempty"`

		Chains  []digest.ChainReport `json:"chains"`
		Checked digest.Progress      `json:"checked"`
	}{says, "", make([]jsonFinding, 0, len(r.Findings)), r.More, r.MoreDamage, r.Chains, r.Checked}
	for _, f := range r.Findings {
		out.Finds = append(out.Finds, jsonFinding{f.Severity(), f})
	}
	if out.Chains == nil {
		out.Chains = []digest.ChainReport{}
	}
	if err != nil {
		out.Error = err.Error()
	}
	encoder := json.NewEncoder(to)
	encoder.SetIndent("", "  ")
	return encoder.Encode(out)
}

// printText prints a report for people.
func printText(to io.Writer, quiet bool, r *digest.Report, says string) {
	counts := map[digest.Severity]int{}
	for _, f := range r.Findings {
		counts[f.Severity()]++
		if !quiet || f.Severity() > digest.Note {
			fmt.Fprintln(to, printable(f.String()))
		}
	}
	if r.More > 0 {
		fmt.Fprintf(to, "… and %d findings more\n", r.More)
	}
	if !quiet {
		printChains(to, r)
	}
	switch n := counts[digest.Failure]; {
	case says == verdictDamaged:
		says += fmt.Sprintf(" (findings: %d)", int64(counts[digest.Damage])+r.MoreDamage)
	case says == verdictUnchecked && n > 0:
		says += fmt.Sprintf(" (failures: %d)", n)
	}
	fmt.Fprintln(to, "verdict:", says)
}

// printChains prints what was seen of each chain, and of all.
func printChains(to io.Writer, r *digest.Report) {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	if len(r.Chains) > 0 {
		fmt.Fprintln(table, "chain\tof writer\ttracker\tdigests\tfiles\ttraces\tfrom\tto\tstate")
	}
	for _, c := range r.Chains {
		state := "goes on"
		if c.Open {
			state = "open"
		}
		if c.Overdue {
			state = "overdue"
		}
		if c.Ended {
			state = "ended"
		}
		tracker := c.Tracker
		if c.Service != "" {
			tracker += "/" + c.Service
		}
		const day = "2006-01-02T15:04:05Z"
		fmt.Fprintf(table, "%.16s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\n", c.Chain, printable(c.Writer), printable(tracker),
			c.Digests, c.Files, c.Traces, c.Start.UTC().Format(day), c.End.UTC().Format(day), state)
	}
	_ = table.Flush() // what it writes to has no way to report
	fmt.Fprintf(to, "checked: %d digests, %d trace files, %d traces, %d bytes\n",
		r.Checked.Digests, r.Checked.Files, r.Checked.Traces, r.Checked.Bytes)
}

// printable returns s without what would move a terminal's cursor or colors: names come
// from the bucket, and so maybe from whoever tampered with it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '�'
		}
		return r
	}, s)
}

// printableLines is printable for a text of several lines.
func printableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = printable(strings.ReplaceAll(line, "\t", "  "))
	}
	return strings.Join(lines, "\n")
}

// saveHeads replaces the file of heads by those that were known and those that were
// seen, the newer of each chain.
func saveHeads(path string, known []digest.Head, r *digest.Report) error {
	newest := map[string]digest.Head{}
	for _, h := range known {
		if h.Seq >= newest[h.Chain].Seq {
			newest[h.Chain] = h
		}
	}
	for _, c := range r.Chains {
		if c.Head.Seq > 0 && c.Head.Seq >= newest[c.Chain].Seq { // genuine digests of CTS have none
			newest[c.Chain] = c.Head
		}
	}
	var content []byte
	for _, chain := range slices.Sorted(maps.Keys(newest)) {
		line, err := json.Marshal(newest[chain])
		if err != nil {
			return err
		}
		content = append(append(content, line...), '\n')
	}
	return replaceFile(path, content)
}

// replaceFile writes a file beside the old one and puts it in its place, so that there
// is one or the other whatever happens.
func replaceFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
