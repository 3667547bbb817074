package main

import (
	"go/ast"
	"go/parser"
	"go/token"

	"golang.org/x/tools/cover"
)

// gap is lines of a function that nothing executes.
type gap struct {
	file, function string
	first, last    int
}

// key finds the reason, and stays the same when lines move.
func (g gap) key() string { return g.file + " " + g.function }

// function is where one is in a file.
type function struct {
	name        string
	first, last int
}

// gapsOf gives the stretches of more than five lines, each in one function, in
// which no statement is executed.
func gapsOf(p *cover.Profile) (gaps []gap, err error) {
	functions, err := functionsOf(p.FileName)
	if err != nil {
		return nil, err
	}
	for _, f := range functions {
		for _, stretch := range stretches(p.Blocks, f) {
			if stretch.last-stretch.first+1 > tolerated {
				gaps = append(gaps, gap{p.FileName, f.name, stretch.first, stretch.last})
			}
		}
	}
	return gaps, nil
}

// stretches joins the blocks of a function that follow each other unexecuted.
func stretches(blocks []cover.ProfileBlock, f function) (all []function) {
	open := false
	for _, b := range blocks { // sorted by where they start
		switch {
		case b.StartLine < f.first || b.EndLine > f.last:
			continue
		case b.Count > 0:
			open = false
		case open:
			all[len(all)-1].last = max(all[len(all)-1].last, b.EndLine)
		default:
			open = true
			all = append(all, function{first: b.StartLine, last: b.EndLine})
		}
	}
	return all
}

// functionsOf lists the functions of a file; methods as Type.Name.
func functionsOf(file string) (all []function, err error) {
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, d := range parsed.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			name := f.Name.Name
			if f.Recv != nil {
				name = receiver(f.Recv.List[0].Type) + "." + name
			}
			all = append(all, function{name, set.Position(f.Pos()).Line, set.Position(f.End()).Line})
		}
	}
	return all, nil
}

func receiver(t ast.Expr) string {
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if name, ok := t.(*ast.Ident); ok {
		return name.Name
	}
	return "?"
}
