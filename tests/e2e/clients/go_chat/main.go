// Go's net/http, without any SDK: each prompt by a goroutine of its own.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
)

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type request struct {
	Model    string    `json:"model"`
	Messages []message `json:"messages"`
}

type response struct {
	Choices []struct {
		Message message `json:"message"`
	} `json:"choices"`
}

func ask(prompt string) (string, error) {
	body, _ := json.Marshal(request{"gpt-4o-mini", []message{{"user", prompt}}})
	base := os.Getenv("OPENAI_BASE_URL")
	if base == "" {
		base = "https://api.openai.com/v1"
	}
	call, err := http.NewRequest("POST", base+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	call.Header.Set("Content-Type", "application/json")
	call.Header.Set("Authorization", "Bearer "+os.Getenv("OPENAI_API_KEY"))
	answer, err := http.DefaultClient.Do(call)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	var told response
	if err := json.Unmarshal(content, &told); err != nil {
		return "", err
	}
	return told.Choices[0].Message.Content, nil
}

func main() {
	var all sync.WaitGroup
	answers := make([]string, len(os.Args)-1)
	for number, prompt := range os.Args[1:] {
		all.Add(1)
		go func(number int, prompt string) {
			defer all.Done()
			answer, err := ask(prompt)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			answers[number] = answer
		}(number, prompt)
	}
	all.Wait()
	for _, answer := range answers {
		text, _ := json.Marshal(answer)
		fmt.Println(string(text))
	}
}
