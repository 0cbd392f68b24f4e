// Judge asks bbolt what it makes of a database: whether it is sound, what is in it and, with -write, whether it
// can be written to, which changes the file. It prints the SHA-256 of the contents, or fails with what is wrong.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
)

func main() {
	write := flag.Bool("write", false, "also write to the database")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: judge [-write] FILE")
		os.Exit(2)
	}
	digest, err := judge(flag.Arg(0), *write)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(digest)
}

func judge(path string, write bool) (string, error) {
	before, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	contents := sha256.New()
	err = with(path, func(db *bolt.DB) error {
		return db.View(func(tx *bolt.Tx) error {
			return tx.ForEach(func(name []byte, bucket *bolt.Bucket) error {
				return dump(contents, name, bucket)
			})
		})
	})
	if err != nil {
		return "", err
	}
	// Trivy opens its database for writing; that must not touch what was signed.
	after, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if !bytes.Equal(before, after) {
		return "", errors.New("opening the file changed it")
	}
	if write {
		err = with(path, func(db *bolt.DB) error {
			return db.Update(func(tx *bolt.Tx) error {
				return tx.ForEach(func(_ []byte, bucket *bolt.Bucket) error { return scramble(bucket) })
			})
		})
		if err != nil {
			return "", fmt.Errorf("after writing: %w", err)
		}
	}
	return fmt.Sprintf("%x", contents.Sum(nil)), nil
}

// with opens the file for writing, does something, and checks the file.
func with(path string, act func(*bolt.DB) error) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: 10 * time.Second, NoSync: true})
	if err != nil {
		return err
	}
	err = errors.Join(act(db), db.View(func(tx *bolt.Tx) error {
		var problems []error
		for problem := range tx.Check() {
			problems = append(problems, problem)
		}
		return errors.Join(problems...)
	}))
	return errors.Join(err, db.Close())
}

func dump(to hash.Hash, name []byte, bucket *bolt.Bucket) error {
	to.Write([]byte("B"))
	text(to, name)
	err := bucket.ForEach(func(key, value []byte) error {
		// A key is also found by a search, not only by walking along the leaves.
		if value == nil {
			inner := bucket.Bucket(key)
			if inner == nil {
				return fmt.Errorf("bucket %x is not found", key)
			}
			return dump(to, key, inner)
		}
		if !bytes.Equal(bucket.Get(key), value) {
			return fmt.Errorf("key %x is not found", key)
		}
		to.Write([]byte("V"))
		text(to, key)
		text(to, value)
		return nil
	})
	to.Write([]byte("E"))
	return err
}

func text(to hash.Hash, bytes []byte) {
	var size [8]byte
	binary.LittleEndian.PutUint64(size[:], uint64(len(bytes)))
	to.Write(size[:])
	to.Write(bytes)
}

// scramble deletes every third value of a bucket and of those in it, and adds some.
func scramble(bucket *bolt.Bucket) error {
	var buckets, doomed [][]byte
	count := 0
	err := bucket.ForEach(func(key, value []byte) error {
		key = bytes.Clone(key)
		if value == nil {
			buckets = append(buckets, key)
		} else if count++; count%3 == 0 {
			doomed = append(doomed, key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range buckets {
		if err := scramble(bucket.Bucket(name)); err != nil {
			return err
		}
	}
	for _, key := range doomed {
		if err := bucket.Delete(key); err != nil {
			return err
		}
	}
	for n := range 50 {
		if err := bucket.Put(fmt.Appendf(nil, "added %d", n), make([]byte, n*n)); err != nil {
			return err
		}
	}
	return nil
}
