package template

import (
	"errors"
	"math"
	"strconv"
	"time"
)

var errRange = errors.New("the result is out of range")

func numberFunctions() map[string]function {
	calc := func(f func(a, b int64) (int64, error)) function {
		return function{least: 2, most: 2, do: func(in *input) (any, error) {
			a, err := in.num(0)
			if err != nil {
				return nil, err
			}
			b, err := in.num(1)
			if err != nil {
				return nil, err
			}
			n, err := f(a, b)
			if err != nil {
				return nil, in.bad("%s", err)
			}
			return n, nil
		}}
	}
	return map[string]function{
		"add": calc(plus),
		"sub": calc(func(a, b int64) (int64, error) {
			if b == math.MinInt64 {
				return 0, errRange
			}
			return plus(a, -b)
		}),
		"mul": calc(func(a, b int64) (int64, error) {
			if a == 0 || b == 0 {
				return 0, nil
			}
			n := a * b
			if n/b != a || a == math.MinInt64 && b == -1 || b == math.MinInt64 && a == -1 {
				return 0, errRange
			}
			return n, nil
		}),
		"div":   calc(func(a, b int64) (int64, error) { return divide(a, b, func(a, b int64) int64 { return a / b }) }),
		"mod":   calc(func(a, b int64) (int64, error) { return divide(a, b, func(a, b int64) int64 { return a % b }) }),
		"min":   extreme(func(a, b int64) bool { return a < b }),
		"max":   extreme(func(a, b int64) bool { return a > b }),
		"int":   {least: 1, most: 1, do: toInt},
		"float": {least: 1, most: 1, do: func(in *input) (any, error) { return nil, in.bad("numbers with a fraction are not offered") }},
	}
}

func plus(a, b int64) (int64, error) {
	n := a + b
	if (n > a) != (b > 0) {
		return 0, errRange
	}
	return n, nil
}

func divide(a, b int64, f func(a, b int64) int64) (int64, error) {
	if b == 0 {
		return 0, errors.New("the divisor is zero")
	}
	if a == math.MinInt64 && b == -1 {
		return 0, errRange
	}
	return f(a, b), nil
}

func extreme(better func(a, b int64) bool) function {
	return function{least: 1, most: -1, do: func(in *input) (any, error) {
		args := in.args
		if list, ok := args[0].([]any); ok && len(args) == 1 {
			args = list
		}
		if len(args) == 0 {
			return nil, in.bad("the array is empty")
		}
		var best int64
		for i, v := range args {
			n, ok := v.(int64)
			if !ok {
				return nil, in.bad("a value is of type '%s' and has to be an integer", kind(v))
			}
			if i == 0 || better(n, best) {
				best = n
			}
		}
		return best, nil
	}}
}

func toInt(in *input) (any, error) {
	switch v := in.args[0].(type) {
	case int64:
		return v, nil
	case string:
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			return n, nil
		}
	}
	return nil, in.bad("'%s' is no integer", Write(in.args[0]))
}

func timeFunctions() map[string]function {
	return map[string]function{
		"utcnow": {most: 1, do: func(in *input) (any, error) {
			if !in.defaults {
				return nil, in.bad("it may be used in the default value of a parameter only")
			}
			form := "yyyyMMddTHHmmssZ"
			if len(in.args) == 1 {
				s, err := in.str(0)
				if err != nil {
					return nil, err
				}
				form = s
			}
			return in.formatTime(in.inputs.Now.UTC(), form)
		}},
		"newguid": {do: func(in *input) (any, error) {
			if !in.defaults {
				return nil, in.bad("it may be used in the default value of a parameter only")
			}
			return in.inputs.NewGUID(), nil
		}},
		"datetimeadd": {least: 2, most: 3, do: func(in *input) (any, error) {
			base, err := in.time(0)
			if err != nil {
				return nil, err
			}
			text, err := in.str(1)
			if err != nil {
				return nil, err
			}
			at, ok := addDuration(base, text)
			if !ok {
				return nil, in.bad("'%s' is no ISO 8601 duration", text)
			}
			if len(in.args) == 3 {
				form, err := in.str(2)
				if err != nil {
					return nil, err
				}
				return in.formatTime(at, form)
			}
			return at.Format("2006-01-02T15:04:05Z"), nil
		}},
		"datetimetoepoch": {least: 1, most: 1, do: func(in *input) (any, error) {
			at, err := in.time(0)
			return at.Unix(), err
		}},
		"datetimefromepoch": {least: 1, most: 1, do: func(in *input) (any, error) {
			n, err := in.num(0)
			if err != nil {
				return nil, err
			}
			if n < -62135596800 || n > 253402300799 {
				return nil, in.bad("%s", errRange)
			}
			return time.Unix(n, 0).UTC().Format("2006-01-02T15:04:05Z"), nil
		}},
	}
}

// time reads an argument that is a time.
func (in *input) time(i int) (time.Time, error) {
	s, err := in.str(i)
	if err != nil {
		return time.Time{}, err
	}
	for _, form := range []string{
		time.RFC3339Nano, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly, "20060102T150405Z07:00",
	} {
		if t, err := time.Parse(form, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, in.bad("'%s' is no time in a form that is known", s)
}

// formatTime writes a time by a .NET format of the parts yyyy, MM, dd, HH, mm, ss, fff and literal text, or one of the
// standard letters d, D excepted.
func (in *input) formatTime(t time.Time, form string) (any, error) {
	switch form {
	case "u":
		return t.Format("2006-01-02 15:04:05Z"), nil
	case "s":
		return t.Format("2006-01-02T15:04:05"), nil
	case "o", "O":
		return t.Format("2006-01-02T15:04:05.0000000Z"), nil
	case "R", "r":
		return t.Format("Mon, 02 Jan 2006 15:04:05 GMT"), nil
	case "d":
		return t.Format("1/2/2006"), nil
	}
	parts := map[string]string{
		"yyyy": "2006", "yy": "06", "MMMM": "January", "MMM": "Jan", "MM": "01", "M": "1", "dddd": "Monday", "ddd": "Mon", "dd": "02", "d": "2",
		"HH": "15", "hh": "03", "h": "3", "mm": "04", "m": "4", "ss": "05", "s": "5", "tt": "PM",
	}
	var out []byte
	for i := 0; i < len(form); {
		c := form[i]
		n := 1
		for i+n < len(form) && form[i+n] == c {
			n++
		}
		run := form[i : i+n]
		layout, ok := parts[run]
		switch {
		case ok:
			out = t.AppendFormat(out, layout)
		case c == 'f' && n <= 7:
			out = append(out, t.Format("0000000")[:0]...)
			out = append(out, t.Format(".0000000")[1:1+n]...)
		case c|0x20 >= 'a' && c|0x20 <= 'z' && c != 'T' && c != 'Z':
			return nil, in.bad("the part '%s' of the time format is not offered", run)
		default:
			out = append(out, run...)
		}
		i += n
	}
	return string(out), nil
}

// addDuration adds an ISO 8601 duration such as P1Y2M3DT4H5M6S or -PT1H.
func addDuration(t time.Time, s string) (time.Time, bool) {
	sign := 1
	if len(s) > 0 && s[0] == '-' {
		sign, s = -1, s[1:]
	}
	if len(s) < 2 || s[0] != 'P' {
		return t, false
	}
	clock, some, n, digits := false, false, 0, 0
	for _, c := range []byte(s[1:]) {
		if c >= '0' && c <= '9' {
			if digits++; digits > 6 {
				return t, false
			}
			n = n*10 + int(c-'0')
			continue
		}
		if c == 'T' && !clock && digits == 0 {
			clock = true
			continue
		}
		if digits == 0 {
			return t, false
		}
		k := sign * n
		switch {
		case c == 'Y' && !clock:
			t = t.AddDate(k, 0, 0)
		case c == 'M' && !clock:
			t = t.AddDate(0, k, 0)
		case c == 'W' && !clock:
			t = t.AddDate(0, 0, 7*k)
		case c == 'D' && !clock:
			t = t.AddDate(0, 0, k)
		case c == 'H' && clock:
			t = t.Add(time.Duration(k) * time.Hour)
		case c == 'M' && clock:
			t = t.Add(time.Duration(k) * time.Minute)
		case c == 'S' && clock:
			t = t.Add(time.Duration(k) * time.Second)
		default:
			return t, false
		}
		some, n, digits = true, 0, 0
	}
	return t, some && digits == 0 && t.Year() >= 1 && t.Year() <= 9999
}
