package gzfiles

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
)

// pipeline is one line of shell that is run for each file: $1 is the file, the other
// parameters are patterns and values.
type pipeline struct {
	script string
	args   []string
}

// newPipeline returns what prints the traces that meet the conditions of q, one JSON
// object a line, in the order of the file. Texts are looked for with zgrep, which lets
// too many lines pass now and then (the same text in another field) but never too
// few; then jq takes its exact choice. behind is what jq makes of a trace, and the
// programs after it.
func newPipeline(q *contest.Question, do, behind string) pipeline {
	p := pipeline{}
	filter := "zcat"
	for i, text := range texts(q) {
		if i == 0 {
			filter = "zgrep -hF -e " + p.arg(text)
		} else {
			p.script += " | grep -F -e " + p.arg(text)
		}
	}
	p.script = filter + ` "$1"` + p.script
	choice, named := p.choice(q)
	if choice != "" {
		do = "select(" + choice + ") | " + do
	}
	if do != "." {
		p.script += " | jq -c" + named + " '" + do + "'"
	}
	p.script += behind
	return p
}

// arg adds a parameter and returns how the script names it.
func (p *pipeline) arg(value string) string {
	p.args = append(p.args, value)
	return fmt.Sprintf(`"${%d}"`, len(p.args)+1)
}

// texts returns what stands in the line of every trace that meets the conditions, the
// rarest first as far as one can know.
func texts(q *contest.Question) []string {
	var texts []string
	member := func(key, value string) {
		if value != "" {
			texts = append(texts, `"`+key+`":"`+escaped(value)+`"`)
		}
	}
	member("resource_id", q.ResourceID)
	if q.Substring != "" {
		texts = append(texts, escaped(q.Substring))
	}
	if q.Word != "" {
		texts = append(texts, q.Word)
	}
	member("source_ip", q.SourceIP)
	member("name", q.User)
	member("trace_rating", q.Rating)
	member("trace_name", q.Name)
	member("service_type", q.Service)
	return texts
}

// escaped returns text as it stands in canonical JSON, without the quotes.
func escaped(text string) string {
	const before = `{"trace_id":"`
	line := (&cts.Trace{ID: text}).AppendJSON(nil)
	end := bytes.Index(line, []byte(`","time":0,`))
	return string(line[len(before):end])
}

// choice returns the condition of jq and the options that name its values.
func (p *pipeline) choice(q *contest.Question) (choice, named string) {
	var all []string
	add := func(condition string, option, name, value string) {
		all = append(all, condition)
		named += " " + option + " " + name + " " + p.arg(value)
	}
	for _, c := range []struct{ path, name, value string }{
		{".resource_id", "resource", q.ResourceID},
		{".user.name", "user", q.User},
		{".service_type", "service", q.Service},
		{".trace_name", "name", q.Name},
		{".trace_rating", "rating", q.Rating},
		{".source_ip", "ip", q.SourceIP},
	} {
		if c.value != "" {
			add(c.path+" == $"+c.name, "--arg", c.name, c.value)
		}
	}
	if q.From != 0 {
		add(".time >= $from", "--argjson", "from", fmt.Sprint(q.From))
	}
	if q.To != 0 {
		add(".time < $to", "--argjson", "to", fmt.Sprint(q.To))
	}
	if q.Substring != "" {
		add(`(.request // "" | contains($part))`, "--arg", "part", q.Substring)
	}
	if q.Word != "" {
		add(`(.request // "" | test($word))`, "--arg", "word", `(?<![\p{L}\p{Nd}])`+q.Word+`(?![\p{L}\p{Nd}])`)
	}
	return strings.Join(all, " and "), named
}

// run runs the pipeline on one file and returns what it prints.
func (p *pipeline) run(ctx context.Context, f file) ([]byte, error) {
	args := append([]string{"-c", p.script, "sh", f.name}, p.args...)
	cmd := exec.CommandContext(ctx, "sh", args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	err := cmd.Run()
	if err == nil && problems.Len() > 0 {
		err = errors.New("a program of the pipeline complains")
	}
	if err != nil {
		return nil, fmt.Errorf("gzfiles: %s: %w: %s", p.script, err, problems.Bytes()[:min(problems.Len(), 300)])
	}
	return out.Bytes(), nil
}
