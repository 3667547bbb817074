// Package web looks at the HTML report in a browser, headless Chromium: what a
// reader sees, not what is in the file. It is a module of its own, so that what
// drives the browser does not enter the product's dependency graph.
//
// The screenshots of a run are in specs/out.
package web

import (
	"context"
	_ "embed"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/scenarios/report"
)

func TestWeb(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Sallyport's HTML report in a browser")
}

// limit is how long any spec may take.
const limit = SpecTimeout(60 * time.Second)

// about is what the page says of the run.
var about = report.About{Version: "v1.2.3", Command: "sallyport replay stories", Host: "lab"}

// out is where the page and its screenshots are kept.
const out = "../out"

//go:embed probe.js
var probe string

var (
	browser context.Context
	address string // of the page
)

var _ = BeforeSuite(func(ctx SpecContext) {
	results, err := play(ctx)
	Expect(err).NotTo(HaveOccurred())
	Expect(os.MkdirAll(out, 0o755)).To(Succeed())
	address = write("report.html", func(f *os.File) error { return report.HTML(f, about, results) })
	options := chromedp.DefaultExecAllocatorOptions[:]
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium has none for root
	}
	parent, stop := chromedp.NewExecAllocator(context.Background(), options...)
	DeferCleanup(stop)
	browser, stop = chromedp.NewContext(parent)
	DeferCleanup(stop)
	Expect(chromedp.Do(browser)).To(Succeed(), "Chromium does not start; Debian's package is chromium")
}, NodeTimeout(60*time.Second))

// write makes a file in the out folder, and returns its address.
func write(name string, fill func(*os.File) error) string {
	path, err := filepath.Abs(filepath.Join(out, name))
	Expect(err).NotTo(HaveOccurred())
	f, err := os.Create(path)
	Expect(err).NotTo(HaveOccurred())
	Expect(errors.Join(fill(f), f.Close())).To(Succeed())
	return (&url.URL{Scheme: "file", Path: path}).String()
}

// A window shows one page, and notes what the page asks for and complains of.
type window struct {
	tab context.Context

	mu       sync.Mutex
	requests []string
	console  []string
}

// visit opens the page at an address in a window of its own.
func visit(ctx context.Context, address string, width int64, scheme string) *window {
	tab, closeTab := chromedp.NewContext(browser)
	DeferCleanup(closeTab)
	DeferCleanup(context.AfterFunc(ctx, closeTab))
	w := &window{tab: tab}
	Expect(chromedp.Listen(tab, w.note)).To(Succeed())
	prefers := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	_, err := chromedp.Call(tab, emulation.SetEmulatedMedia, prefers)
	Expect(err).NotTo(HaveOccurred())
	Expect(chromedp.Do(tab, chromedp.EmulateViewport(width, 1800), chromedp.Navigate(address))).To(Succeed())
	return w
}

func (w *window) note(event any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		w.requests = append(w.requests, e.Request.URL)
	case *log.EventEntryAdded:
		w.console = append(w.console, e.Entry.Text)
	case *runtime.EventConsoleAPICalled:
		w.console = append(w.console, string(e.Type))
	case *runtime.EventExceptionThrown:
		w.console = append(w.console, e.ExceptionDetails.Text)
	}
}

func (w *window) asked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.requests
}

func (w *window) complaints() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.console
}

// ask evaluates an expression of the probe's in the page.
func ask[T any](w *window, expression string) T {
	GinkgoHelper()
	answer, err := chromedp.Run(w.tab, chromedp.Evaluate[T]("{"+probe+"\n"+expression+"}"))
	Expect(err).NotTo(HaveOccurred())
	return answer
}

// keep takes a screenshot of what the window shows.
func (w *window) keep(name string) {
	GinkgoHelper()
	png, err := chromedp.Run(w.tab, chromedp.CaptureScreenshot())
	Expect(err).NotTo(HaveOccurred())
	Expect(os.WriteFile(filepath.Join(out, name), png, 0o644)).To(Succeed())
}
