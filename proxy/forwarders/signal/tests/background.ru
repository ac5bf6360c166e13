# The Rack shop, and in each process a thread that calls for nobody.

require "net/http"

background = lambda do
  to = URI(ENV.fetch("STOCK_URL"))
  Net::HTTP.start(to.host, to.port) do |http|
    loop do
      http.get("/background", "x-case" => "background")
      sleep 0.005
    end
  end
end

shop = ENV.fetch("SHOP")
instance_eval(File.read(shop), shop)
$background = nil
use(Class.new do
  def initialize(app) = @app = app

  # Started by the first request, for Puma forks after it has loaded this.
  define_method(:call) do |env|
    $background ||= Thread.new(&background)
    @app.call(env)
  end
end)
