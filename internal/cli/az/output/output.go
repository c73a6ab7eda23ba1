// Package output owns how a command's result is printed: JSON, YAML, TSV or a table in the forms of az, and the query
// that picks from it first.
//
// A result is a value as encoding/json decodes it.
package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	jmespath "github.com/jmespath-community/go-jmespath"
	"github.com/jmespath-community/go-jmespath/pkg/parsing"
	"sigs.k8s.io/yaml"
)

// Formats are the names of the forms.
func Formats() []string { return []string{"json", "jsonc", "none", "table", "tsv", "yaml", "yamlc"} }

// Printer prints results.
type Printer struct {
	// Format is one of Formats.
	Format string
	// Query is a JMESPath expression that picks from the result; empty: all of it.
	Query string
	// Table is the expression that makes a table of the result when no query is given; empty: every plain property.
	Table string

	// columns are the names in the order of the query that made the result.
	columns []string
}

// Check says what is wrong with the settings, before anything is done.
func (p *Printer) Check() error {
	if !slices.Contains(Formats(), p.Format) {
		return fmt.Errorf("--output %q is not one of %s", p.Format, strings.Join(Formats(), ", "))
	}
	if p.Query != "" {
		if _, err := jmespath.Compile(p.Query); err != nil {
			return fmt.Errorf("--query %q is no JMESPath expression: %w", p.Query, err)
		}
	}
	return nil
}

// Print writes a result. Nothing is printed of nothing.
func (p Printer) Print(w io.Writer, v any) error {
	v, err := plain(v)
	if err != nil {
		return err
	}
	expr := p.Query
	if expr == "" && p.Format == "table" {
		expr = p.Table
	}
	if expr != "" {
		if v, err = jmespath.Search(expr, v); err != nil {
			return fmt.Errorf("--query: %w", err)
		}
		p.columns = columns(expr)
	}
	if v == nil || p.Format == "none" {
		return nil
	}
	switch p.Format {
	case "json", "jsonc":
		return printJSON(w, v)
	case "yaml", "yamlc":
		text, err := yaml.Marshal(v)
		if err != nil {
			return fmt.Errorf("output: %w", err)
		}
		_, err = w.Write(text)
		return err
	case "tsv":
		return p.tsv(w, v)
	}
	return p.table(w, v)
}

// plain makes sure that a value is made of what JSON decodes to.
func plain(v any) (any, error) {
	switch v.(type) {
	case nil, string, bool, float64:
		return v, nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("output: %w", err)
	}
	var out any
	return out, json.Unmarshal(text, &out)
}

func printJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("output: %w", err)
	}
	// What HTML needs escaped is left as it is, and so are the two line separators that encoding/json always escapes.
	text := strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029").Replace(b.String())
	_, err := io.WriteString(w, text)
	return err
}

// columns returns the names that a query gives its results, in the order in which it says them.
func columns(expr string) []string {
	node, err := parsing.NewParser().Parse(expr)
	if err != nil {
		return nil
	}
	for {
		switch node.NodeType {
		case parsing.ASTMultiSelectHash:
			var names []string
			for _, child := range node.Children {
				if name, ok := child.Value.(string); ok {
					names = append(names, name)
				}
			}
			return names
		case parsing.ASTPipe, parsing.ASTSubexpression, parsing.ASTProjection, parsing.ASTFilterProjection, parsing.ASTValueProjection:
			if len(node.Children) < 2 {
				return nil
			}
			node = node.Children[1]
		default:
			return nil
		}
	}
}

// keys returns an object's names: in the query's order, or sorted.
func (p *Printer) keys(m map[string]any) []string {
	if len(p.columns) == len(m) && !slices.ContainsFunc(p.columns, func(c string) bool { _, ok := m[c]; return !ok }) {
		return p.columns
	}
	return slices.Sorted(maps.Keys(m))
}

func (p *Printer) tsv(w io.Writer, v any) error {
	rows, ok := v.([]any)
	if !ok {
		rows = []any{v}
	}
	var b strings.Builder
	for _, row := range rows {
		var cells []string
		switch row := row.(type) {
		case map[string]any:
			for _, key := range p.keys(row) {
				cells = append(cells, cell(row[key]))
			}
		case []any:
			for _, x := range row {
				cells = append(cells, cell(x))
			}
		case bool:
			cells = []string{strconv.FormatBool(row)}
		default:
			cells = []string{cell(row)}
		}
		b.WriteString(strings.Join(cells, "\t") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// cell is one value in a line of TSV: what has no place in a cell shows that it is there.
func cell(v any) string {
	switch v := v.(type) {
	case []any:
		return strconv.Itoa(len(v))
	case map[string]any:
		return ""
	}
	return scalar(v)
}

// scalar is a plain value in a table or in TSV.
func scalar(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case string:
		return v
	case bool:
		if v {
			return "True"
		}
		return "False"
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// table prints a row for each object, with a column for each name that any of them has.
func (p *Printer) table(w io.Writer, v any) error {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	if len(list) == 0 {
		_, err := io.WriteString(w, "\n")
		return err
	}
	var heads []string
	rows := make([]map[string]string, len(list))
	for i, x := range list {
		names, row := p.row(x)
		rows[i] = row
		for _, name := range names {
			if !slices.Contains(heads, name) {
				heads = append(heads, name)
			}
		}
	}
	if len(heads) == 0 {
		return fmt.Errorf("nothing of this fits a table: pick properties with --query, or choose another --output")
	}
	var b strings.Builder
	writeTable(&b, heads, rows)
	_, err := io.WriteString(w, b.String())
	return err
}

func (p *Printer) row(x any) (names []string, row map[string]string) {
	row = map[string]string{}
	add := func(name string, v any) {
		names = append(names, name)
		row[name] = scalar(v)
	}
	switch x := x.(type) {
	case map[string]any:
		for _, key := range p.keys(x) {
			switch x[key].(type) {
			case nil, []any, map[string]any:
				continue
			}
			if key == "" || key == "type" || key == "etag" || key == "id" && p.columns == nil {
				continue
			}
			first, size := utf8.DecodeRuneInString(key)
			add(strings.ToUpper(string(first))+key[size:], x[key])
		}
	case []any:
		for i, v := range x {
			add("Column"+strconv.Itoa(i+1), v)
		}
	default:
		add("Result", x)
	}
	return names, row
}

func writeTable(b *strings.Builder, heads []string, rows []map[string]string) {
	width := make([]int, len(heads))
	for i, h := range heads {
		width[i] = utf8.RuneCountInString(h) + 2 // az's tables leave two columns of room under a heading
		for _, row := range rows {
			width[i] = max(width[i], utf8.RuneCountInString(row[h]))
		}
		width[i] = max(width[i], utf8.RuneCountInString(h))
	}
	line := func(cell func(int) string) {
		var parts []string
		for i := range heads {
			text := cell(i)
			parts = append(parts, text+strings.Repeat(" ", width[i]-utf8.RuneCountInString(text)))
		}
		b.WriteString(strings.TrimRight(strings.Join(parts, "  "), " ") + "\n")
	}
	line(func(i int) string { return heads[i] })
	line(func(i int) string { return strings.Repeat("-", width[i]) })
	for _, row := range rows {
		line(func(i int) string { return row[heads[i]] })
	}
}
