# The shop as a Rack app: a thread of Puma or WEBrick serves each request, and calls with Net::HTTP.

require "digest"
require "json"
require "net/http"

PAYMENTS = URI(ENV.fetch("PAYMENTS_URL"))
STOCK = URI(ENV.fetch("STOCK_URL"))
PRICES = URI(ENV.fetch("PRICES_URL"))

WITNESS = File.new(ENV.fetch("WITNESS"), File::WRONLY | File::APPEND | File::CREAT)
NUMBERS = Thread::Queue.new
NUMBERS << 1

def number_of_call(traceparent)
  count = NUMBERS.pop
  NUMBERS << count + 1
  number = "#{Process.pid}-#{count}"
  WITNESS.syswrite("#{traceparent.split('-')[2]} #{number}\n")
  number
end

def work
  digest = "shop"
  rand(300..2000).times { digest = Digest::SHA256.digest(digest) }
end

# Either each call has a connection of its own, or each thread keeps its connections.
def connection(to)
  return Net::HTTP.start(to.host, to.port) { |http| yield http } unless ENV["KEEP_CONNECTIONS"]

  kept = Thread.current[:connections] ||= {}
  yield kept[to] ||= Net::HTTP.start(to.host, to.port)
end

def call(env, to, request)
  request["x-call-number"] = number_of_call(env["HTTP_TRACEPARENT"])
  answer = connection(to) { |http| http.request(request) }
  answer.value
  JSON.parse(answer.body)
end

def charge(env)
  request = Net::HTTP::Post.new("/charges", "content-type" => "application/json")
  request.body = JSON.generate(amount: 1200)
  call(env, PAYMENTS, request)
end

def items(env)
  call(env, STOCK, Net::HTTP::Get.new("/items"))
end

def price(env)
  call(env, PRICES, Net::HTTP::Get.new("/prices"))
end

PAGES = {
  "/checkout" => lambda do |env|
    work
    charge = charge(env)
    work
    items = items(env)
    work
    { charge: charge, items: items }
  end,
  "/browse" => lambda do |env|
    work
    items = items(env)
    work
    { items: items }
  end,
  "/quote" => lambda do |env|
    work
    price = price(env)
    items = items(env)
    work
    { price: price, items: items }
  end,
  "/health" => ->(_) { { healthy: true } }
}.freeze

run(lambda do |env|
  page = PAGES[env["PATH_INFO"]]
  answer = JSON.generate(page ? page.call(env) : {})
  [page ? 200 : 404, { "content-type" => "application/json" }, [answer]]
end)
