// SPDX-License-Identifier: LGPL-2.1-or-later

// Asks go-sev-guest about attestation reports: one JSON question a line on standard input, one JSON answer a line on standard output.
// Built in the cache against Debian's package of that library; see test_go_sev_guest.py. With the arguments `bench SECONDS` it answers
// the first question over and over on one thread, and prints how often a second.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/google/go-sev-guest/abi"
	cpb "github.com/google/go-sev-guest/proto/check"
	spb "github.com/google/go-sev-guest/proto/sevsnp"
	"github.com/google/go-sev-guest/validate"
	"github.com/google/go-sev-guest/verify"
	"github.com/google/go-sev-guest/verify/trust"
	"google.golang.org/protobuf/encoding/prototext"
)

type question struct {
	Report []byte `json:"report"`
	Leaf   []byte `json:"leaf"`
	Roots  string `json:"roots"` // PEM: ASK or ASVK, and ARK
	Line   string `json:"line"`  // Milan, Genoa, Turin
	Now    int64  `json:"now"`
	Policy string `json:"policy"` // check.Policy as text; empty: do not judge
}

type answer struct {
	Verify   string `json:"verify"`   // empty: authentic
	Validate string `json:"validate"` // empty: the policy is met, or was not asked for
}

func roots(q *question) (map[string][]*trust.AMDRootCerts, error) {
	root := trust.AMDRootCertsProduct(q.Line)
	if err := root.FromKDSCertBytes([]byte(q.Roots)); err != nil {
		return nil, err
	}
	return map[string][]*trust.AMDRootCerts{q.Line: {root}}, nil
}

func attestation(q *question) (*spb.Attestation, error) {
	report, err := abi.ReportToProto(q.Report)
	if err != nil {
		return nil, err
	}
	info, err := abi.ParseSignerInfo(report.GetSignerInfo())
	if err != nil {
		return nil, err
	}
	chain := &spb.CertificateChain{VcekCert: q.Leaf}
	if info.SigningKey == abi.VlekReportSigner {
		chain = &spb.CertificateChain{VlekCert: q.Leaf}
	}
	return &spb.Attestation{Report: report, CertificateChain: chain}, nil
}

func products(line string) *spb.SevProduct {
	names := map[string]spb.SevProduct_SevProductName{
		"Milan": spb.SevProduct_SEV_PRODUCT_MILAN, "Genoa": spb.SevProduct_SEV_PRODUCT_GENOA,
		"Turin": spb.SevProduct_SEV_PRODUCT_TURIN,
	}
	return &spb.SevProduct{Name: names[line]}
}

func ask(q *question) (a answer) {
	// a panic is no verdict, but no acceptance either
	defer func() {
		if r := recover(); r != nil {
			a = answer{Verify: fmt.Sprint("panic: ", r)}
		}
	}()
	at, err := attestation(q)
	if err != nil {
		return answer{Verify: err.Error()}
	}
	trusted, err := roots(q)
	if err != nil {
		return answer{Verify: "roots: " + err.Error()}
	}
	options := &verify.Options{DisableCertFetching: true, TrustedRoots: trusted, Now: time.Unix(q.Now, 0)}
	if at.GetReport().GetVersion() < 3 {
		options.Product = products(q.Line)
	}
	if err := verify.SnpAttestation(at, options); err != nil {
		return answer{Verify: err.Error()}
	}
	if q.Policy == "" {
		return answer{}
	}
	policy := &cpb.Policy{}
	if err := prototext.Unmarshal([]byte(q.Policy), policy); err != nil {
		return answer{Validate: "policy: " + err.Error()}
	}
	vopts, err := validate.PolicyToOptions(policy)
	if err == nil {
		err = validate.SnpAttestation(at, vopts)
	}
	if err != nil {
		return answer{Validate: err.Error()}
	}
	return answer{}
}

func bench(q *question, seconds float64) {
	runtime.GOMAXPROCS(1)
	n, start := 0, spent()
	for spent()-start < seconds {
		if a := ask(q); a.Verify != "" || a.Validate != "" {
			fmt.Fprintln(os.Stderr, "bench:", a.Verify, a.Validate)
			os.Exit(1)
		}
		n++
	}
	fmt.Printf("%.0f\n", float64(n)/(spent()-start))
}

// Processor time, as openssl speed counts: others on the machine do not matter.
func spent() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		os.Exit(1)
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), 1<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if len(os.Args) > 2 && os.Args[1] == "bench" {
			seconds, _ := strconv.ParseFloat(os.Args[2], 64)
			bench(&q, seconds)
			return
		}
		if err := out.Encode(ask(&q)); err != nil {
			os.Exit(1)
		}
	}
}
