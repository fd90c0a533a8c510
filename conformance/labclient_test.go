package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/kinopio-hub/kinopio-hub/v3/conformance/labapi"
)

// ask sends a command to the lab.
func ask(ctx context.Context, url string, c labapi.Command) (labapi.Result, error) {
	var result labapi.Result
	body, err := json.Marshal(c)
	if err != nil {
		return result, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return result, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return result, err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&result); err != nil {
		return result, fmt.Errorf("%s: the lab's answer: %w", c.Do, err)
	}
	if result.Error != "" {
		return result, errors.New(result.Error)
	}
	return result, nil
}
