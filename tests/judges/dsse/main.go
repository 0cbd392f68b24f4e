// Verifies the DSSE envelope of a Sigstore bundle with go-securesystemslib, the library under cosign and in-toto for Go.
//
//	judge PUBLIC-KEY.pem BUNDLE.json
//
// Prints the payload's type when the envelope is good, and fails otherwise.
package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

type verifier struct{ key *ecdsa.PublicKey }

func (v verifier) Verify(_ context.Context, data, signature []byte) error {
	digest := sha256.Sum256(data)
	if !ecdsa.VerifyASN1(v.key, digest[:], signature) {
		return errors.New("the signature does not verify")
	}
	return nil
}

func (v verifier) KeyID() (string, error)   { return dsse.SHA256KeyID(v.key) }
func (v verifier) Public() crypto.PublicKey { return v.key }

func run(keyFile, bundleFile string) error {
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return errors.New("no PEM")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return err
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return errors.New("no ECDSA key")
	}
	text, err = os.ReadFile(bundleFile)
	if err != nil {
		return err
	}
	var bundle struct {
		Envelope dsse.Envelope `json:"dsseEnvelope"`
	}
	if err := json.Unmarshal(text, &bundle); err != nil {
		return err
	}
	judge, err := dsse.NewEnvelopeVerifier(verifier{key})
	if err != nil {
		return err
	}
	if _, err := judge.Verify(context.Background(), &bundle.Envelope); err != nil {
		return err
	}
	fmt.Println(bundle.Envelope.PayloadType)
	return nil
}

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
