// The shop as a server of net/http: a goroutine for each request, and the default client.
package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
)

var (
	payments = os.Getenv("PAYMENTS_URL")
	stock    = os.Getenv("STOCK_URL")
	prices   = os.Getenv("PRICES_URL")
	witness  *os.File
	calls    atomic.Int64
)

func work() {
	digest := sha256.Sum256([]byte("shop"))
	for range 3000 + rand.Intn(12000) {
		digest = sha256.Sum256(digest[:])
	}
}

func call(request *http.Request, method, url, body string) (string, error) {
	number := calls.Add(1)
	span := strings.Split(request.Header.Get("traceparent"), "-")[2]
	fmt.Fprintf(witness, "%s %d\n", span, number)
	outgoing, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	outgoing.Header.Set("x-call-number", fmt.Sprint(number))
	if body != "" {
		outgoing.Header.Set("content-type", "application/json")
	}
	answer, err := http.DefaultClient.Do(outgoing)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	read, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s", url, answer.Status)
	}
	return string(read), err
}

func checkout(request *http.Request) (string, error) {
	work()
	charge, err := call(request, "POST", payments+"/charges", `{"amount":1200}`)
	if err != nil {
		return "", err
	}
	work()
	items, err := call(request, "GET", stock+"/items", "")
	work()
	return fmt.Sprintf(`{"charge":%s,"items":%s}`, charge, items), err
}

func browse(request *http.Request) (string, error) {
	work()
	items, err := call(request, "GET", stock+"/items", "")
	work()
	return fmt.Sprintf(`{"items":%s}`, items), err
}

func quote(request *http.Request) (string, error) {
	work()
	type answer struct {
		text string
		err  error
	}
	asked := make(chan answer)
	go func() {
		text, err := call(request, "GET", prices+"/prices", "")
		asked <- answer{text, err}
	}()
	items, err := call(request, "GET", stock+"/items", "")
	price := <-asked
	if err == nil {
		err = price.err
	}
	work()
	return fmt.Sprintf(`{"price":%s,"items":%s}`, price.text, items), err
}

func health(*http.Request) (string, error) {
	return `{"healthy":true}`, nil
}

func page(make func(*http.Request) (string, error)) http.HandlerFunc {
	return func(response http.ResponseWriter, request *http.Request) {
		answer, err := make(request)
		if err != nil {
			log.Print(err)
			http.Error(response, err.Error(), http.StatusBadGateway)
			return
		}
		response.Header().Set("content-type", "application/json")
		io.WriteString(response, answer)
	}
}

func main() {
	var err error
	witness, err = os.OpenFile(os.Getenv("WITNESS"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/checkout", page(checkout))
	http.HandleFunc("/browse", page(browse))
	http.HandleFunc("/quote", page(quote))
	http.HandleFunc("/health", page(health))
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
